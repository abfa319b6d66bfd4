"""What errors say: what happened, and what is to be done, as sentences with values in them.

`web/words/` has each under `remark.<its name in small letters>`, for whoever reads it in another language.
Here is what a user of the nodes can meet. What the gateway, the system or a library says is a value in a sentence.
"""

from __future__ import annotations

import functools
import re
from enum import Enum, unique

from .remarks import Remark, remark

_FEWEST_LETTERS = 8
"""With fewer of its own, a sentence with values fits almost any text."""

_DEEPEST = 4
"""Sentences in sentences in sentences: more is not ours."""

_LONGEST_CHARACTERS = 1000


@unique
class Trouble(Enum):
    """All that errors say; the English is what the log and front ends without our scripts say."""

    # What a kind of error advises where nothing better is known.
    ENTER_A_KEY = (
        "Enter a key in the API Mall panel, or switch on the rehearsal there, which is free. Where ComfyUI is "
        "started, APIMALL_API_KEY and APIMALL_REHEARSAL=1 do the same. Keys come from https://www.apimall.ai/api-"
        "keys."
    )
    DATABASE_AWAY = (
        "Nothing new is sent without it, and what was sent is followed once it is back. See that the database of "
        "APIMALL_JOURNAL runs and can be reached from this machine, then queue again."
    )
    CHECK_NETWORK = "Check the network and queue again."
    CHANGE_INPUTS = "Change the inputs the gateway names and queue again."
    CHECK_KEY = "Check the API key (the environment variable APIMALL_API_KEY, or the API Mall panel)."
    TOP_UP = "Top up the API Mall account, or choose a shorter duration or 720p, and queue again."
    CHECK_ACCESS = (
        "Either the account is not approved for API use, or the request did not go to the gateway's own host: check "
        "the account at API Mall, and APIMALL_BASE_URL."
    )
    CHECK_ID = "Check the id: it may have expired or belong to another account."
    CHANGE_PROMPT = "Change the prompt and queue again."
    WAIT_A_LITTLE = "Wait a little and queue again."
    SAME_KEY_AGAIN = (
        "Queue the same job again: it is sent with the same Idempotency-Key, so the gateway can recognise it instead "
        "of charging twice."
    )
    LOOK_AT_HISTORY = (
        "Look at the account's history at API Mall before paying again; the pack will not send this job with another "
        "key. If nothing was made there, raise `take` by one."
    )
    CHANGE_OR_AGAIN = (
        "If the reason names an input, change it. Queueing again makes a new attempt, which is charged anew."
    )
    NOTHING_LOST = (
        "Nothing is lost: queue the same node again to continue without paying, or use Poll Result with the task id."
    )
    FETCH_AGAIN = "Nothing is lost: queue the same node again to fetch it without paying."
    LOOK_OR_RAISE_TAKE = (
        "Queueing the same node again asks the gateway once more, and pays nothing. Raise `take` by one to have "
        "another one made; that is paid anew."
    )
    NEEDS_NO_DECODING = "The video output needs no decoding. Queueing again is free."

    # More takes that were asked for in the panel.
    OTHER_THING = "More takes were asked for of a clip that was made from another picture or video"
    LINK_THE_SAME = "Link the same one again, or queue the node itself to make something new."

    # What a job has cost so far.
    NOTHING_SENT = "Nothing was sent; no credits were spent."
    JOB_REJECTED = "The gateway rejected the job; no credits were spent."
    REFUNDED = "Refunded: {refunded} of {used} credits."
    REFUNDED_UNSTATED = "Refunded: {refunded} of the credits."
    REFUND_NOT_TOLD = "Refunded: not told yet, of {used} credits."
    REFUND_NOT_TOLD_UNSTATED = "Refunded: not told yet, of the credits."
    NONE_REFUNDED = "{used} credits were charged, none refunded yet."
    NONE_REFUNDED_UNSTATED = "An unstated number of credits were charged, none refunded yet."
    JOB_RUNS = "The job is still running at the gateway; {used} credits were charged."
    JOB_RUNS_UNSTATED = "The job is still running at the gateway; an unstated number of credits were charged."
    CHARGED = "{used} credits were charged."
    CHARGED_UNSTATED = "An unstated number of credits were charged."
    SPENT_UNCERTAIN = "It is uncertain whether credits were spent."

    # How sentences are put together.
    ENDED = "{text}."
    EITHER = "{one} (or {other})"

    # What is missing on a node, or cannot be meant.
    NO_VIDEO = "No video is given"
    CHOOSE_A_VIDEO = "Choose a file, write a url, or link a video."
    TWO_VIDEOS = "Both a video and a video_url are given"
    LINK_ONE_VIDEO = "Link a video, or write the https address of one into video_url; one of both."
    NO_IMAGE = "No image is given"
    LINK_AN_IMAGE = "Link an image, or write its https address into image_urls."
    NO_HTTPS_LINE = "Line {number} of image_urls is no https address"
    ONE_A_LINE = "Write one address a line, each beginning with https:// and readable by anybody."
    NO_HTTPS_URL = "video_url is no https address"
    WRITE_OPEN_URL = "Write an address that is readable by anybody."
    NO_MODEL = "No model is named"
    CHOOSE_A_MODEL = "Choose a model."
    NO_PROMPT = "The prompt is empty"
    DESCRIBE_IT = "Describe the video you want."
    PROMPT_TOO_LONG = "The prompt has {length} characters"
    SHORTEN_PROMPT = "Shorten it to {most} or fewer."
    TAKE_OUT_OF_RANGE = "take is out of its range"
    WHOLE_NUMBER_TO = "Give a whole number from 0 to {most}."
    BROKEN_TEXT = "The text holds broken characters"
    TYPE_ANEW = "Type it anew instead of pasting it."
    NO_SUCH_TYPE = "{type} is not a type of job"
    NOT_OF_MODEL = "{model} makes no {type}"
    ANOTHER_MODEL = "Choose another model."
    VALUE_IS = "{name} is {value}"
    CHOOSE_ONE_OF = "Choose one of {choices}."
    NO_URL_FOR_GATEWAY = "{url} is not a URL the gateway could fetch"
    OPEN_TO_EVERYBODY = "Give an https:// address that is open to everybody, without user name or password."
    NO_TASK_ID = "That is not a task id"
    PASTE_ID_ALONE = "Paste the id alone; it looks like vid_01HQ9MA3M6V6..."
    NOTHING_TO_COLLECT = "There is no job of this account that was not collected yet"
    PASTE_TASK_ID = "Paste the task id of the job you look for."

    # What is linked to a node.
    LINKED_FILE_GONE = "The file of the linked video is gone: {file}"
    MAKE_IT_AGAIN = "Queue again the node that made or loaded it."
    NO_VIDEO_OBJECT = "What is linked is no VIDEO of ComfyUI, but a {kind}"
    SAVE_AND_LOAD = "Have the node type that made it save it, and load the file with Load Video (API Mall)."
    LINKED_RATE = "The linked video has {rate} frames a second"
    RATE_ABOVE_ZERO = "Give the node that made it a rate above 0."
    NO_AUDIO_OBJECT = "The sound of the linked video is no AUDIO of ComfyUI"
    LOOK_AT_SOUND = "Look at the node that gave it its sound."
    NOT_SAVED_BY_MAKER = "The linked video cannot be written by the node type that made it ({kind}: {problem})"
    NOTHING_SAVED_BY_MAKER = "The node type that made the linked video wrote no file of it"
    USE_SAVE_VIDEO = "Save it with Save Video, and load that."
    START_BEHIND_END = "start {start} s lies behind the end of the linked video"
    TOO_MANY_IMAGES = "{count} images are given; {model} uses {most}"
    LINK_ONE_IMAGE = (
        "Link one image: of a batch of frames, the last or the first (ImageFromBatch takes one out). For motion after"
        " a clip use Video to Video."
    )
    IMAGE_SHAPE = "The image has the shape {shape}; images are [count, height, width, 3 or 4]"
    LINK_IMAGE_OUTPUT = "Link the IMAGE output of a node that gives pictures."
    VIDEO_NOT_SENT = "The video cannot be sent: {problem}"
    IMAGE_NOT_SENT = "Image {number} cannot be sent: {problem}"
    LINKED_NOT_SENT = "What is linked cannot be sent: {problem}"
    CHANGED_SINCE = "{file} has changed, or is gone, since the prompt was queued"
    SEND_AS_IT_IS = "Queue again to send it as it is now."
    SOURCE_TOO_LONG = "The source video lasts {seconds} s; {model} takes {shortest} to {longest} s"
    CUT_BEFORE = (
        "Cut it before: Load Video (API Mall) with start and max_frames, or ComfyUI's own trim node, to {longest} s "
        "or less."
    )
    NO_UPLOAD_OF_TYPE = "A file of type {type} cannot be uploaded"
    GIVE_PICTURE_OR_VIDEO = "Give a picture or a video."
    FILE_TOO_LARGE = "The file has {megabytes} MB; the gateway takes up to {most} MB"
    SHORTEN_OR_SHRINK = "Shorten or shrink it."
    SHRINK_LINKED = "Shorten or shrink what is linked."

    # Addresses that the gateway is to fetch.
    URL_IS_LOCAL = "The address at {host} lies in a local network, where the gateway cannot fetch it"
    URL_IS_CLOSED = "The address at {host} is not open to everybody: it answers {status}"
    URL_IS_VIDEO = "The address at {host} is a video, not a picture"
    URL_IS_PICTURE = "The address at {host} is a picture, not a video"
    URL_IS_PAGE = "The address at {host} answers {type}: a page, not a file"
    OPEN_PRIVATELY = (
        "Open it in a private window of a browser: what is seen there has to be the file alone. Or load the file with"
        " a node, and link it."
    )

    # Limits of credits.
    LIMIT_UNREADABLE = "A limit of credits cannot be read from ComfyUI's settings"
    SET_LIMIT_AGAIN = "Set it again under API Mall Video; 0 is no limit."
    JOB_OVER_PROMPT_LIMIT = (
        "This job would pass your limit of {limit} credits a prompt: this prompt has spent {spent}, and {cost}"
    )
    JOB_OVER_DAY_LIMIT = "This job would pass your limit of {limit} credits a day: {spent} were spent today, and {cost}"
    DAY_UNSETTLED = "{what}; of a job of today nobody knows whether it was taken, or what it cost"
    PRICE_UNKNOWN = "its price is not known yet"
    PRICE_ABOUT = "it would cost about {price}"
    PROMPT_OVER_LIMIT = "This prompt would pass your limit of {limit} credits a prompt: {jobs}, about {credits} credits"
    PROMPT_PRICE_UNKNOWN = "{what}, and the price of {unknown} of them is not known yet"
    ONE_NEW_JOB = "1 new job"
    NEW_JOBS = "{count} new jobs"
    RAISE_PROMPT_LIMIT = (
        "Raise the limit (ComfyUI's settings under API Mall Video, and APIMALL_PROMPT_CREDITS), or queue fewer new "
        "jobs at once. What was paid already is still served."
    )
    RAISE_DAY_LIMIT = "Raise the limit in the API Mall panel, or queue it again tomorrow."
    SETTLE_FIRST = (
        "If that job is on hold in the API Mall panel, settle it there; else lift the limit (0 is none), or queue "
        "this one again tomorrow."
    )

    # Folders and disks of this machine.
    FOLDER_NOT_MADE = "The folder {folder} cannot be made ({reason})"
    CHECK_WHAT_LIES_THERE = "Check what lies there, the rights and the free space, then queue again."
    DISK_REFUSES = "The disk refuses what is needed here ({reason})"
    CHECK_COMFYUI_FOLDERS = "Check rights and free space of ComfyUI's input, output and temp folders, then queue again."
    UPLOAD_NOT_WRITTEN = "The file to upload could not be written to {folder} ({reason})"
    CHECK_USER_FOLDER = "Check free space and rights of ComfyUI's user folder, then queue again."
    RESULT_NOT_WRITTEN = "The result could not be written to {folder} ({reason})"
    CHECK_RESULTS_FOLDER = (
        "Check the folder's rights and free space (on Windows also the length of its path), then queue again."
    )
    JOURNAL_ON_SHARE = (
        "The journal of paid jobs cannot lie in {folder}: that is a network drive ({kind}), where two ComfyUIs could "
        "pay for the same job"
    )
    STATE_DIR_ON_THIS_MACHINE = (
        "Set APIMALL_STATE_DIR to a folder that lasts on a disk of this machine, then restart ComfyUI. (Several "
        "machines that are to share their jobs need a database between them, not a folder.)"
    )
    JOURNAL_FOLDER_NOT_MADE = "The folder {folder} for the journal cannot be made ({reason})"
    ANOTHER_STATE_DIR = "Check rights and free space, or set APIMALL_STATE_DIR to another folder, then restart ComfyUI."
    JOURNAL_LOCKED = "Another program keeps the journal {path} locked"
    CLOSE_IT = "Close it, then queue again."
    JOURNAL_NOT_OPENED = "The journal {path} cannot be opened ({reason})"
    CHECK_FOLDER = "Check rights and free space of the folder, then queue again."
    JOURNAL_NO_DATABASE = (
        "The journal {path} cannot be used where it lies: the disk refuses what a database asks of it, as network "
        "drives and some shared folders do"
    )
    JOURNAL_NO_LOCKS = "The disk of {folder} has no file locks, so two ComfyUIs could pay for the same job there"
    JOURNAL_NEWER = "The journal {path} was written by a newer version of API Mall Video"
    UPDATE_PACK = "Update the pack; its jobs stay as they are."

    # Key, switches and limits, where they are set.
    NO_KEY = "No API Mall key is set."
    KEY_IN = "The API key in {where}"
    KEY_ENTERED = "The API key that was entered"
    KEY_EMPTY = "{key} is empty."
    KEY_TOO_LONG = "{key} is longer than {most} characters."
    KEY_QUOTED = "{key} has quotation marks in it; leave them out."
    KEY_OF_LINES = "{key} has more than one line."
    KEY_OF_BEARER = '{key} begins with "Bearer"; leave that word out.'
    KEY_ODD = "{key} has blanks or characters in it that no key has."
    COPY_KEY_AGAIN = "Copy it again from https://www.apimall.ai/api-keys into APIMALL_API_KEY or the API Mall panel."
    KEY_FILE_TOO_LARGE = "{path} is too large to be a key."
    KEY_NO_FILE = "{path} is not a file."
    ENTER_KEY_AGAIN = "Remove it and enter the key again."
    KEY_OPEN_TO_OTHERS = "{path} can be read or changed by other users of this machine (mode {mode})."
    CHMOD_KEY = (
        "Run `chmod 600` on it; if others may have seen the key, replace it at API Mall. Where that changes nothing, "
        "the disk keeps no access rights: remove the file and set APIMALL_API_KEY instead."
    )
    KEY_NOT_STORED = (
        "The key was not stored: the disk of {folder} keeps no access rights, so everybody on this machine could read"
        " it."
    )
    KEY_ELSEWHERE = (
        "Set APIMALL_API_KEY where ComfyUI is started instead, or APIMALL_STATE_DIR to a folder on a disk that keeps "
        "them."
    )
    NOT_READ = "{path} cannot be read ({reason})."
    CHECK_PERMISSIONS = "Check its permissions."
    NOT_WRITTEN = "{path} cannot be written ({reason})."
    CHECK_PERMISSIONS_AND_SPACE = "Check the folder's permissions and free space."
    SWITCH_UNCLEAR = "{path} says neither on nor off."
    SET_SWITCH_AGAIN = "Set the rehearsal switch in the panel again."
    NO_WEB_ADDRESS = "{name} is not a web address."
    BEGINS_WITHOUT_HTTPS = "{name} does not begin with https://."
    HOLDS_PASSWORD = "{name} holds a user name or password, which has no place there."
    NAMES_NO_HOST = "{name} names no host."
    HAS_PATH = "{name} has a path or query after the host."
    HAS_PORT_ZERO = "{name} has port 0."
    PLAIN_HTTP = "{name} is plain http, which would show the key to everyone on the way; only https is allowed."
    GIVE_ORIGIN = "Give an origin such as {example}, or leave {name} unset."
    NO_FULL_PATH = "{name} is no full path."
    NAMED_FOLDER_NOT_MADE = "{name} names a folder that cannot be made ({reason})."
    GIVE_LASTING_FOLDER = "Give the full path of a folder that lasts and can be written, then restart ComfyUI."
    NO_DATABASE_ADDRESS = "{name} is no address of a PostgreSQL database"
    WRITE_DATABASE_OR_UNSET = (
        "Write postgresql://user@host/database, or leave it unset for a journal in the state folder."
    )
    NAMED_FILE_MISSING = "{name} names a file that is not there"
    NAMED_FILE_NO_CERTIFICATES = "{name} names a file that holds no certificates"
    NAMED_FILE_UNREADABLE = "{name} names a file that cannot be read ({reason})"
    CORRECT_AND_RESTART = "Correct it where ComfyUI is started, or unset it, then restart ComfyUI."
    NO_WHOLE_NUMBER = "{name} is not a whole number from {least} to {most}."
    NO_MINUTES = "{name} is not a number of minutes above 0 and up to {most}."
    CORRECT_OR_USUAL = "Correct it, or leave it unset for {usual}."
    NO_CREDITS = "{name} is not a number of credits above 0."
    CORRECT_OR_NO_LIMIT = "Correct it, or leave it unset for no limit of its own."
    NO_DAYS = "{name} is not a whole number of days from {least} on."
    CORRECT_OR_KEEP = "Correct it, or leave it unset to keep the history for ever."
    NO_NAME = "{name} is not a name of up to {most} characters."
    NAME_ACCOUNT = "Give the account a short name of your own choice, or leave it unset."
    NEITHER_ONE_NOR_ZERO = "{name} is neither 1 nor 0."
    ONE_TO_REHEARSE = "Set it to 1 to rehearse without spending credits, or leave it unset."

    # What is in the way of the journal of jobs.
    PROCESS = "process {process}"
    PROCESS_ON = "process {process} on {machine}"
    NEW_KEY = "The account has a new key"
    FILE_IS_GONE = "its file is gone: put it back, or restart ComfyUI to begin a new one"
    FILE_WAS_REPLACED = "its file was replaced by another in this very moment"
    ROW_IS_GONE = "it does not tell of job {job} any more"
    ROW_OF_SAME_TASK = "it was replaced, and job {job} in it has the same task"
    DATABASE_UNUSABLE = "The journal's database cannot be used: {problem}"
    DATABASE_CLOSED = "it is closed"
    DATABASE_LOST = "the connection was lost"
    ADDRESS_NOT_UNDERSTOOD = "a part of its address is not understood"
    USER_REFUSED = "it refuses the user or the password"
    NOT_ENCRYPTED = "no encrypted connection comes about"
    NO_SUCH_DATABASE = "it knows no such database or user"
    HOST_UNKNOWN = "its host is not known here"
    NOTHING_ANSWERS = "nothing answers there"
    ANSWERS_LATE = "it does not answer in time"
    TAKES_NO_WRITES_AT_ALL = "it takes no writes (a standby, or a user who may only read)"
    STARTING_OR_STOPPING = "it is just starting or stopping"
    NO_CONNECTION_LEFT = "it has no connection left"
    NOT_TO_BE_REACHED = "it cannot be reached ({kind})"
    DATABASE_DISK_FULL = "its disk is full"
    DATABASE_SHORT = "it has run short of memory or space"
    DATABASE_BUSY = "it is too busy, or another program keeps its tables locked"
    TABLES_LOCKED = "another program keeps its tables locked"
    WRITTEN_AT_ONCE = "others were writing at the same moment"
    TAKES_NO_WRITES_NOW = "it takes no writes now"
    TABLES_MISSING = "the journal's tables are not in it"
    EARLIER_CONNECTION = "the database still keeps an earlier connection of this process"
    TOO_MANY_ASK = "too many ask for their part of the requests at once"
    DATABASE_SAYS = "its database says: {message}"
    MAY_READ_AND_WRITE = (
        "See that the user of APIMALL_JOURNAL may read and write the tables of the schema apimall, and make them "
        "where they are not there yet, then queue again."
    )
    DATABASE_OLD = "The journal's database is PostgreSQL {version}, and version {oldest} is the oldest that will do"
    UPDATE_DATABASE = "Update its server, or name another one in {variable}."
    DATABASE_ENCODING = "The journal's database keeps text as {encoding}, which cannot hold every prompt"
    MAKE_UTF8_DATABASE = "Make one with `createdb --encoding UTF8 --template template0`, and name it in {variable}."
    DATABASE_POOLED = (
        "{variable} names a pooler that hands one connection to many, and a machine is known to live by its connection"
    )
    NAME_DATABASE_ITSELF = (
        "Name the database's own address, or have the pooler keep a connection for each client (PgBouncer: "
        "pool_mode=session), then restart ComfyUI."
    )
    DATABASE_NEWER = "The journal's database was written by a newer version of API Mall Video"
    UPDATE_PACK_HERE = "Update the pack on this machine; its jobs stay as they are."
    WRITE_DATABASE = (
        "Write postgresql://user@host/database (special characters of a password as %XX), then restart ComfyUI."
    )
    NO_DRIVER = "{variable} names a PostgreSQL database, and the driver for it is not installed"
    INSTALL_DRIVER = "Install it with ComfyUI's own Python, `{command}`, then restart ComfyUI."

    # What a file is that is no clip.
    EMPTY_FILE = "an empty file"
    ANIMATED_WEBP = "an animated WebP"
    WEBP_PICTURE = "a WebP picture"
    WAV_SOUND = "WAV sound"
    HEIC_PICTURE = "a HEIC picture"
    PAGE_OR_TEXT = "a page or a text, not a video"
    JPEG_PICTURE = "a JPEG picture"
    PNG_PICTURE = "a PNG picture"
    GIF = "a GIF"
    BMP_PICTURE = "a BMP picture"
    TIFF_PICTURE = "a TIFF picture"
    PHOTOSHOP_FILE = "a Photoshop file"
    PDF = "a PDF"
    ZIP_ARCHIVE = "a ZIP archive"
    SEVEN_ZIP_ARCHIVE = "a 7z archive"
    RAR_ARCHIVE = "a RAR archive"
    GZIP_ARCHIVE = "a gzip archive"
    MP3_SOUND = "MP3 sound"
    FLAC_SOUND = "FLAC sound"
    PLAY_LIST = "a play list, not the clip itself"
    LIST_OF_CLIPS = "a list of clips, not a clip itself"
    FLASH_PROGRAMME = "a Flash programme"
    IFF_FILE = "an IFF file"
    BINK_VIDEO = "a Bink video"
    REDCODE_VIDEO = "REDCODE raw video"
    BLENDER_FILE = "a Blender file"

    # What a file or a picture is refused for.
    FILE_MISSING = "{file} is not there, or not a file."
    NOT_WHOLE = (
        "{file} cannot be opened as a video: it is not whole, its index is missing. Wait until it is written, or "
        "fetch it again."
    )
    NO_CLIP = "{file} cannot be opened as a video: it is damaged or not a clip. Use another file."
    NO_CLIP_BUT = "{file} cannot be opened as a video: it is {kind}. Use another file."
    NO_VIDEO_INSIDE = "{file} holds no video. Use another file."
    ONLY_SOUND = "{file} holds no video, only sound. Use another file."
    ENCRYPTED = "{file} is encrypted: only a player that has its key can show it. Use a file without protection."
    FORM_UNKNOWN = "{file} holds video in a form that this PyAV cannot decode."
    PICTURES_TOO_LARGE = (
        "{file} says its pictures are {width}x{height}; at most {most} megapixels can be read. Use another file."
    )
    NO_CLOCK = "{file} has no clock (time base {base}). Use another file."
    UNDECODABLE = (
        "No picture of {file} can be decoded: its {decoder} pictures are damaged, or not for this PyAV. Use another "
        "file."
    )
    UNDECODABLE_BUT = "No picture of {file} can be decoded: it is {kind}. Use another file."
    ALL_DAMAGED = "No picture of {file} can be decoded: it is damaged. Use another file."
    PART_DAMAGED = "No picture of {file} can be decoded there: it is damaged. Use another file or part."
    LAST_DAMAGED = "The last picture of that part of {file} cannot be decoded: it is damaged. Use another part."
    NO_PICTURE_INSIDE = "{file} holds no picture: it is damaged or not a clip. Use another file."
    NO_TIMED_PICTURE = "{file} holds no picture with a time. Use another file."
    PACKETS_NOT_COPIED = "The packets of {file} cannot be copied as they lie."
    DAMAGED_WEBP = "{file} cannot be read: it is an animated WebP that is damaged."
    WEBP_TOO_LARGE = "{file} is {width}x{height}: too large to be read."
    URL_NO_VIDEO = "The url leads to something that is not a video. Open it in a browser to see what it is."
    CLIP_NOT_WRITTEN = "{file} could not be written: {reason}. Check space and permissions."
    START_BEHIND_LAST = (
        "start {start} s lies behind the last picture of {file} ({seconds} s long). Choose an earlier start."
    )
    START_IS = "start is {value}: give seconds from 0 up."
    EVERY_NTH_IS = "every_nth is {value}: give 1 for every frame, 2 for every other one, and so on."
    MAX_FRAMES_IS = "max_frames is {value}: give 0 for all frames, or the number wanted."
    FPS_IS = "fps is {value}: give 0 for the clip's own, or frames a second."
    PART_IS = "The part is {value} s long: give seconds from 0 up."
    MAX_SIDE_IS = "max_side is {value}: give 0 to keep the size, or the longer side in pixels."
    RATE_UNWRITABLE = "{rate} frames a second cannot be written."
    RATE_OUT_OF_RANGE = "{rate} frames a second cannot be written: give 0.01 to 1000."
    NO_PICTURES_GIVEN = "A clip needs at least one picture."
    TOO_LARGE_FOR_H264 = "{width}x{height} is too large for H.264. Scale the frames down."
    NO_ENCODER = (
        "This PyAV ({version}) cannot write {form}: its FFmpeg has none of {names}. Put the package av of PyPI in its"
        " place, into the Python that runs ComfyUI."
    )
    PICTURE_SHAPE = "A picture is [height, width, 3 or 4]; this is {shape}. Connect an IMAGE."
    PICTURE_EMPTY = "The picture is empty: {shape}. Connect an IMAGE with pixels."
    PICTURE_OF_TYPE = "A picture holds floats from 0 to 1; this one holds {type}."
    PICTURE_OF_NAN = "The picture holds values that are not numbers (NaN). A node before this one went wrong."
    PICTURE_OUT_OF_RANGE = "The picture's values run from {low} to {high}; they must lie between 0 and 1."

    # What would not fit into memory.
    FRAMES_TOO_LARGE = (
        "{frames} frames of {width}x{height} need {needed} of memory; {usable} can be used ({free} are free). {advice}"
    )
    FRAME_TOO_LARGE = (
        "1 frame of {width}x{height} needs {needed} of memory; {usable} can be used ({free} are free). {advice}"
    )
    FITS = "Fits: {settings}."
    OR = "{one}, or {other}"
    NOTHING_FITS = "Not even one frame fits: free some memory first."
    MEMORY_REFUSED = (
        "The system refused {needed} for {frames} frames of {width}x{height}. Set max_frames, max_side or every_nth."
    )
    MEMORY_UNKNOWN = "Windows does not say how much memory is free. Set max_frames to a number you trust."
    SOUND_TOO_LARGE = (
        "{samples} samples of sound in {channels} channels need {needed} of memory; {usable} can be used. Load a "
        "shorter part of the clip."
    )

    # Files that a widget names.
    NO_FILE_NAMED = "No file is named. Choose or upload one."
    NAME_TOO_LONG = "{file} is too long to be a file name. Choose or upload a file."
    NAME_OF_CONTROLS = "{file} has control characters in it. Choose or upload a file."
    NAME_OUTSIDE = "{file} is not a name inside ComfyUI's input folder. Choose or upload a file."
    NAME_OF_NOTHING = "{file} names no file. Choose or upload a file."
    NAME_LEADS_OUT = "{file} leads out of its folder. Choose or upload a file."
    NAME_OF_DRIVE = "{file} names a drive on Windows. Choose or upload a file."
    NAME_WITH_BLANK = (
        "{file} begins or ends with a blank or dot, which names another file on Windows. Choose or upload a file."
    )
    NAME_OF_DEVICE = "{file} is the name of a device on Windows. Choose or upload a file."
    NAME_NOT_FOR_WINDOWS = "{file} has characters in it that no file name has on Windows. Choose or upload a file."
    NO_SUCH_FOLDER = "There is no {folder} folder to read from."
    NO_SUCH_FILE = "There is no file {file} that can be read. Choose or upload it again."
    LINK_OUTSIDE = (
        "{file} is a link to a place outside ComfyUI's input, output and temp folder; links are followed only within "
        "them. Copy the file itself to the input folder or upload it."
    )
    FILE_OUTSIDE = (
        "{file} does not lie in ComfyUI's input, output or temp folder. Copy it to the input folder or upload it."
    )
    NO_PLAIN_FILE = "{file} is not a file. Choose or upload a video."
    RESULT_IS_LINK = "{file} in the results folder is a link. Remove it and queue again."

    # Addresses that are not fetched from.
    ADDRESS_EMPTY = "The address is empty."
    ADDRESS_TOO_LONG = "The address is longer than {most} characters."
    ADDRESS_OF_BLANKS = "The address has blanks, backslashes or invisible characters in it."
    NOT_WEB = "This is not a web address; it has to begin with https://."
    NOT_WEB_EITHER = "It is not a web address."
    ADDRESS_OF_USER = "The address holds a user name or password before an @; such addresses are not fetched."
    ADDRESS_OF_NO_HOST = "The address names no proper host."
    ADDRESS_OF_NO_PORT = "The address has a port that is none."
    ADDRESS_OF_ODD_NUMBER = "The address writes its host as a number in an unusual way."
    ADDRESS_PLAIN_HTTP = "The address is plain http; only https:// addresses are fetched."
    ADDRESS_OF_PORT = "The address names a port; only the usual port of https is fetched from."
    HOST_NOT_HERE = "{host} should be this machine, but its name leads elsewhere."
    HOST_IS_LOCAL = "{host} names a machine in a local network; only public addresses are fetched."
    HOST_NOT_PUBLIC = "{host} leads to an address that is not public; only public addresses are fetched."
    HOST_MADE_UP = (
        "{host} leads to an address ({address}) that is not public, and the gateway does not. If a proxy program with"
        " 'fake IP' look-ups made it up, set HTTPS_PROXY to that program, or let it give real addresses."
    )
    READ_TWO_WAYS = "The address was read in two different ways; it is not fetched."
    NETWORK_UNFIT = "Results could not be fetched over this network: {refusal}"
    SET_HTTPS_PROXY = "Set HTTPS_PROXY to the proxy program that answers look-ups here, or let it give real addresses."
    AND_ADVICE = "{what} {advice}"

    # What goes wrong with a download.
    PROXY_FAILED = "The proxy did not connect to {host}. Check HTTPS_PROXY and NO_PROXY, then try again."
    NO_VALID_CERTIFICATE = "{host} has no valid certificate for its name, or TLS failed. {advice}"
    ANOTHER_NETWORK = "Try another network."
    STEP_SLOW = "{host} could not be used: {step} took too long. Check the network, then try again."
    STEP_FAILED = "{host} could not be used: {step} failed. Check the network, then try again."
    PREPARATION = "the preparation"
    LOOK_UP = "the look-up of its name"
    CONNECTION = "the connection"
    ANSWER = "the answer"
    TRANSFER = "the transfer"
    DOWNLOAD_SLOW = "The download from {host} took too long. Try again later."
    DOWNLOAD_CUT = "The download from {host} ended after {bytes} of {all} bytes. Try again."
    SENT_NOTHING = "{host} sent nothing. Try again later."
    REDIRECTS_TOO_OFTEN = "{host} redirects more than {most} times."
    REDIRECTS_NOWHERE = "{host} redirects without saying where to. Try again later."
    REDIRECTS_ODDLY = "{host} redirects to an address with blanks or backslashes in it."
    REDIRECTS_FORBIDDEN = "{host} redirects to an address that is not fetched. {why}"
    LINK_GONE = "{host} does not give out this file (any more): HTTP {status}."
    NOT_GIVEN_NOW = "{host} cannot give out the file now: HTTP {status}. Try again later."
    SENT_COMPRESSED = "{host} sends the file compressed, though asked not to; it is not unpacked."
    CONTRADICTS_FORM = "{host} contradicts itself about how it sends the file. Try again later."
    NO_LENGTH = "{host} gives a length that is none. Try again later."
    CONTRADICTS_REST = "{host} contradicts itself about the rest of the file. Try again."
    ANOTHER_FILE = "{host} gives out another file than before. Try again."
    LARGER_THAN = "The file at {host} is larger than {most} MB; it is not fetched."
    DOWNLOAD_NOT_WRITTEN = "The download could not be written to {folder} ({reason})."

    # What goes wrong on the way to the gateway.
    NOT_CONNECTED = "No connection to {host} ({step})"
    ANSWER_LOST = "The connection to {host} broke before an answer came ({step})"
    BY_PROXY = "the proxy failed"
    BY_TLS = "TLS failed: the certificate or protocol was not accepted"
    BY_NAME = "the name could not be resolved"
    BY_SLOW_CONNECTION = "connecting took too long"
    BY_SILENCE = "no answer in time"
    BY_REFUSAL = "connection refused"
    BY_RESET = "connection reset"
    SET_CLOCK = "Set this machine's clock, then queue again."
    ANSWERED_IN_PLACE = "Something on this network answers in its place: try another network."
    SET_BUNDLE = (
        "If a company proxy or a virus scanner looks into TLS here, set REQUESTS_CA_BUNDLE (or SSL_CERT_FILE) to the "
        "PEM file of its certificate where ComfyUI is started, restart ComfyUI, then queue again."
    )
    SYSTEM_PROXY = "the system's proxy setting"
    NO_PROXY_ADDRESS = "{where} holds something that is no address of a proxy"
    NO_PROXY_KIND = "{where} names a proxy of a kind that is not known, {kind}"
    WRITE_PROXY = "Write it as http://host:port or socks5h://host:port where ComfyUI is started, then restart ComfyUI."
    NO_PYSOCKS = "{where} names a SOCKS proxy, for which the Python package PySocks is needed; it is not installed"
    INSTALL_PYSOCKS = "Install PySocks into ComfyUI's Python, or name an http:// proxy, then restart ComfyUI."

    # What the gateway answers; its own words follow as they are.
    WITH_MESSAGE = "{what}: {message}"
    HTTP_400 = "The gateway found the request invalid"
    HTTP_401 = "The gateway refused the API key"
    HTTP_402 = "The account has too few credits"
    HTTP_403 = "The gateway refused access"
    HTTP_404 = "The gateway knows nothing under this id or address"
    HTTP_408 = "The gateway gave up waiting for the request"
    HTTP_409 = "The gateway reports a conflict of the Idempotency-Key"
    HTTP_425 = "The gateway asks to send this later"
    HTTP_429 = "The gateway asks for a pause (rate limit, or too many jobs at once)"
    HTTP_451 = "The prompt was blocked by the gateway's content moderation"
    HTTP_500 = "The gateway had an internal error"
    HTTP_503 = "The gateway's provider is busy or unavailable"
    HTTP_OTHER = "The gateway's answer cannot be used (HTTP {status})"
    REPLY_WITHOUT_TASK = "The gateway's reply names no task"
    REPLY_WITHOUT_STATUS = "The gateway's reply has no status"
    REPLY_WITHOUT_UPLOAD = "The gateway's reply has no upload address"
    REPLY_WITHOUT_FILE = "The gateway's reply has no address for the uploaded file"
    REPLY_TOO_LARGE = "The gateway's reply is too large to be one"

    # What goes wrong with an upload.
    NO_UPLOAD_ADDRESS = "No address to upload to: {what}"
    UPLOAD_ADDRESS_REFUSED = "The gateway gives no address to upload to (HTTP {status})."
    STORAGE_ANSWERED = "{host}, where the gateway said to store it, answered {said}. {advice}"
    CHECK_CLOCK = "Such addresses are good for minutes: check this machine's clock."
    TRY_LATER = "Try again later."
    NOT_UPLOADED = "The file could not be uploaded. {trouble}"
    NOT_UPLOADED_EITHER = "The file could not be uploaded. {trouble} Sent to the gateway itself: {what}"
    THEN_AGAIN = "Then queue again."
    UPLOAD_AGAIN = "Queue again: the file is uploaded anew, and paid is only what comes after it."

    # How a job stands, or ended.
    NO_RESULT_YET = "No result after {minutes} minutes of waiting"
    NO_SLOT_YET = "No slot became free in {minutes} minutes. They are taken by {holders}"
    JOB_OF = "job {job} of {machine}"
    JOB_AND_TASK_OF = "job {job} (task {task}) of {machine}"
    WAIT_STOPPED = "You stopped the wait"
    WAIT_CANCELLED = "ComfyUI stopped waiting, as another node failed"
    COMFYUI_CLOSING = "ComfyUI is closing"
    QUEUE_TO_START = "Queue the node again to start it."
    GOES_ON_WITH_KEY = "The job goes on: queue the same node again to continue; it keeps its Idempotency-Key."
    REFUND_MAY_COME = (
        "Refunds may come later. Queueing it again asks for them, and makes a new attempt only when all credits are "
        "back; another `take` pays again."
    )
    ONLY_ANOTHER_TAKE = "Only another `take` makes it again, and pays for it."
    MADE_AND_GONE = "The gateway made the video and no longer has it"
    JOB_CLOSED = "You closed this job"
    JOB_FAILED = "The job failed"
    NOT_MADE = "The gateway could not make the video"
    PAID_AND_GONE = "The video was made and paid, and is no longer to be had: {what}"
    NO_LONGER_GIVEN = "The gateway completed the job, but no longer gives out its video: {what}"
    STALLED_ADVICE = "{first} {then} Only another `take` would pay again."
    EARLIER_UNANSWERED = "An earlier create of this job got no answer, and now: {what}"
    UNFORESEEN = "Something unforeseen went wrong ({kind})"
    CONTINUED_NOT_PAID = "Queue the same node again: a job that was sent is continued, not paid again."
    JOURNAL_NOT_WRITTEN = "The journal cannot be written ({problem})"
    NOT_ON_HOLD = "This job is not on hold"
    LOOK_HOW_IT_STANDS = "Look at how it stands now."
    TASK_OF_MODEL = "Task {task} is of the model {model}"
    TASK_OF_TYPE = "Task {task} is {type}"
    TASK_OF_ANOTHER_DAY = "Task {task} was made on another day than this job was sent"
    TASK_OF_ANOTHER_JOB = "Task {task} is another job's already"
    LOOK_FOR_ANOTHER = "Look for another one in the account's history at API Mall."
    KNOWN_ELSEWHERE = (
        "This very job was made with another key. {jobs} jobs were made with other keys of this gateway, {unfinished}"
        " of them unfinished"
    )
    SAY_WHETHER_SAME = (
        "Say in the API Mall panel whether they are of the same account (or set APIMALL_ACCOUNT to a name for it): "
        "then it is continued or served instead of paid again."
    )
    LEFT_BEHIND = (
        "This very job was made before this machine shared its journal. {jobs} jobs of its own journal are not known "
        "to the shared one yet"
    )
    SAY_WHETHER_TAKEN = (
        "Say in the API Mall panel whether they are to be taken along (or set APIMALL_JOURNAL_IMPORT=1 and restart "
        "ComfyUI): then it is continued or served instead of paid again."
    )
    PAID_MEANWHILE = "This very job was paid already, as job {job} of an account that is the same"
    SERVED_INSTEAD = "Queue the node again: that one is continued or served, and nothing is paid."
    SENT_LONG_AGO = (
        "This job was sent {hours} hours ago without a readable answer; the gateway may have forgotten its "
        "Idempotency-Key, so repeating it could charge twice"
    )
    SENT_AT_ODD_TIME = (
        "This job was sent at a time that the clocks do not agree on without a readable answer; the gateway may have "
        "forgotten its Idempotency-Key, so repeating it could charge twice"
    )
    NO_ADDRESS_GIVEN = "The gateway completed the job but gives no address for the video"
    NO_ADDRESS_NAMED = "The gateway names no address"
    NO_PLAYABLE_VIDEO = "What came down is no video that can be played"
    VIDEO_NOT_WRITTEN = "The video could not be written to {folder} ({reason})"
    TAKEN_AWAY = "What came down was taken away."
    WRITTEN_INTO = "Another program wrote into what came down."
    BROUGHT_ELSEWHERE = "{what} It was brought to {folder} on {machine}"
    SAFE_ON_DISK = "{problem} The clip itself is safe on disk: {file}"


class PlainError(Exception):
    """An error that says what happened in one message, complete for a user."""

    @property
    def what(self) -> str:
        """The message as it was given: a remark, where it is a sentence of ours."""
        message: str = self.args[0]
        return message


def recognised(text: str, depth: int = _DEEPEST) -> str:
    """A text that was kept as such, as the sentence of ours that it is; as it was, if it is none."""
    if not depth or len(text) > _LONGEST_CHARACTERS:
        return text
    for pattern, trouble in _patterns():
        if found := pattern.fullmatch(text):
            return remark(trouble, **{name: recognised(value, depth - 1) for name, value in found.groupdict().items()})
    what, colon, message = text.partition(": ")
    if colon and isinstance(said := recognised(what, depth - 1), Remark):
        # What follows is not ours.
        return remark(Trouble.WITH_MESSAGE, what=said, message=message)
    if text.endswith(".") and isinstance(said := recognised(text[:-1], depth - 1), Remark):
        return remark(Trouble.ENDED, text=said)
    return text


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], Trouble]]:
    """What each sentence looks like that says enough by itself, those that say most first."""
    found = [(_pattern(each), each) for each in sorted(Trouble, key=_letters, reverse=True)]
    return [(pattern, each) for pattern, each in found if not pattern.groups or _letters(each) >= _FEWEST_LETTERS]


def _pattern(trouble: Trouble) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", trouble.value)
    return re.compile("".join(f"(?P<{part}>.+?)" if odd % 2 else re.escape(part) for odd, part in enumerate(parts)))


def _letters(trouble: Trouble) -> int:
    return sum(map(str.isalpha, re.sub(r"\{\w+\}", "", trouble.value)))
