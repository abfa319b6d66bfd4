"""What errors say: what happened, and what is to be done, as sentences with values in them.

`web/words/` has each under `remark.<its name in small letters>`, for whoever reads it in another language.
Here is what a user of the nodes can meet. What the gateway, the system or a library says is a value in a sentence.
"""

from __future__ import annotations

from enum import Enum, unique


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
    CHANGE_OR_AGAIN = "Change what the gateway names, or queue again for a new attempt."
    NOTHING_LOST = (
        "Nothing is lost: queue the same node again to continue without paying, or use Poll Result with the task id."
    )
    FETCH_AGAIN = "Nothing is lost: queue the same node again to fetch it without paying."
    RAISE_TAKE = "Raise `take` by one to have another one made; that is paid anew."
    NEEDS_NO_DECODING = "The video output needs no decoding. Queueing again is free."

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
    RAISE_DAY_LIMIT = "Raise the limit in ComfyUI's settings under API Mall Video, or queue it again tomorrow."
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
