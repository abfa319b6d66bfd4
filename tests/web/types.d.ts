// What the scripts speak of (`Job`, `Told`, …), for whoever reads them and for the type checker; browsers never load this.

/** A job as the server describes it: `card` in `nodes/panel/job_facts.py`. */
interface Job {
  id: number;
  /** The same for all takes of one thing. */
  series: string;
  model: string;
  type: string;
  prompt: string;
  duration: string;
  resolution: string;
  take: number;
  state: string;
  /** Why nobody goes on with it. */
  parked: string | null;
  charge: string;
  credits_used: number | null;
  credits_refunded: number | null;
  task_id: string | null;
  file: string | null;
  seconds: number | null;
  created_at: number;
  accepted_at: number | null;
  unfinished: boolean;
  starred: boolean;
  /** The one that has it, or had it last, where that is not this one. */
  machine: string | null;
  error: string | null;
  /** How long such jobs took before, as the panel was told of it. */
  usual_seconds?: number | null;
}

/** What a job cost, so far as it is known. */
type Charged = Pick<Job, "charge" | "credits_used" | "credits_refunded">;

/** What is told of an error: `facts` in `nodes/gateway/errors.py`. */
interface Trouble extends Charged {
  kind: string;
  what: string;
  advice: string;
  /** The same, where they are sentences of ours. */
  said?: { what?: Said; advice?: Said; charge?: Said };
  task_id?: string | null;
  request_id?: string | null;
  provider_request_id?: string | null;
  http_status?: number | null;
  code?: string | null;
}

/** What the server says of a node's job while its run goes on, and at its end. */
interface Told {
  prompt_id: string;
  /** Was it queued in the rehearsal? */
  rehearsal: boolean;
  phase: string;
  fraction: number | null;
  running: number | null;
  limit: number | null;
  job: Job | null;
  trouble: Trouble | null;
  fetched: boolean;
  remarks: Said[];
  clip?: { frames: number; fps: number; width: number; height: number; seconds: number; sound: boolean };
}

/** A remark, as `nodes/remarks.py` tells it, or a value in one. */
type Said = string | number | Said[] | { key: string; values: Record<string, Said> };

/** What a browser keeps of a node: one `told` for each job of the same run, and the widget values they are true for. */
interface LastWord {
  values: Record<string, unknown>;
  told: Told[];
  given?: string;
}

/** What the server says of queueing with some widget values. */
interface Standing {
  standing: "new" | "paid" | "fetch" | "running" | "sent" | "ended";
  runs: number;
  credits: number | null;
  seconds: number | null;
  rehearsal: boolean;
  /** Is there a key, or the rehearsal? */
  ready: boolean;
  job: Job | null;
}

/** The two rows of a node's line. */
interface Saying {
  tone?: "busy" | "good" | "warn" | "bad";
  head: string;
  note?: string;
  fraction?: number | null;
  rehearsal?: boolean;
  /** Behind "Details". */
  trouble?: Trouble;
  /** Its number. */
  job?: number;
  /** The panel is where to go on. */
  setUp?: boolean;
  remarks?: string[];
  /** More takes of this job are offered. */
  takesOf?: number;
}

/** Opens the panel, and in it a job as if it had been clicked. */
type Opener = (job?: number) => void;

type Severity = "success" | "info" | "warn" | "error";

interface Price {
  credits: number | null;
  rehearsal: boolean;
}

interface Account {
  problem: string | null;
  key_source: "environment" | "file" | "none";
  masked_key: string | null;
  rehearsal: boolean;
  rehearsal_source: "environment" | "panel" | "default";
  host: string;
  /** May this browser set things without a code? */
  writable: boolean;
  /** Jobs of this machine's own journal that nobody said yet whether the shared one is to know. */
  left_behind?: number;
  /** Keys with jobs that may be of this account. */
  others?: Other[];
  /** Do several users of this ComfyUI use this account? */
  shared: boolean;
  /** Asked for together with a new key. */
  balance?: Balance;
}

interface Other {
  account: string;
  jobs: number;
  unfinished: number;
}

/** What the gateway said when it was asked for the balance; `key`: what that tells of the key. */
interface Balance {
  credits: number | null;
  problem: string | null;
  key: "right" | "wrong" | "unknown";
}

interface Day {
  /** Seconds since the epoch. */
  begins: number;
  credits: number;
  refunded: number;
  uncertain: number;
}

/** The list that a card is in. */
interface Keeper {
  /** Seconds since the epoch by the server's clock. */
  now(): number;
  act(path: string, body: unknown): Promise<unknown>;
  changed(job: Job): void;
  opened(card: import("../../web/js/card.js").Card): void;
}

type ComfyExtension = import("@comfyorg/comfyui-frontend-types").ComfyExtension;
type AnyNode = Parameters<NonNullable<ComfyExtension["nodeCreated"]>>[0];
type GraphNode = AnyNode & HoldsElements;
type Child = Node | string | null | undefined | false;
// biome-ignore lint/suspicious/noExplicitAny: listeners name the kind of their event
type Given = Record<string, string | number | boolean | null | undefined | ((event: any) => void)>;
