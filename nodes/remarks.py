"""What the pack says of a run, as facts: a sentence, and the values in it. Here is what did not fail.

`web/words/` has each sentence under `remark.<its name in small letters>`, for whoever looks at the node. What errors
say stands in `troubles.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeAlias


class Sentence(Enum):
    """All that is remarked upon; the English is what the log and front ends without our scripts say."""

    # What is done to pictures wherever they are decoded.
    TONED_DOWN = "{form} (HDR) toned down to BT.709"
    ON_WHITE = "transparent parts, if any, are white"
    HIDDEN_COLOURS = "transparent parts show their hidden colours: this PyAV has no {decoder}"
    SOUND_ENCRYPTED = "its sound is encrypted, and left out"
    DEINTERLACED = "interlaced: the lines between are worked out anew"
    INTERLACED = "interlaced: each frame holds the lines of two moments"

    # How clips and pictures are written.
    PART = "the part is {written}"
    OTHER_ENCODER = "written as {form} ({encoder}), since this PyAV has no libx264"
    ENCODED = "encoded as H.264"
    SMALL_PICTURE = "{width}x{height} is under {side} px"
    SCALED = "scaled from {width}x{height} to {new_width}x{new_height}"
    AS_JPEG = "sent as JPEG, quality {quality}"

    # What became of a source for its upload, and why.
    UPLOAD = "Upload: {what}."
    BECAUSE = "{what}: {why}"
    LEFT_OUT = "left out, since uploads are public: {extras}"
    SHORT_SOURCE = "the source lasts {seconds} s; {model} takes {shortest} to {longest} s, so it may be refused"
    IS_PART = "it is a part"
    IS_CODEC = "it is {codec}"
    IS_FORM = "its pictures are {form}"
    IS_HDR = "it is made for HDR ({form})"
    IS_INTERLACED = "it is interlaced"
    IS_TURNED = "it is turned"
    NOT_SQUARE = "its pixels are not square"
    IS_SIZE = "it is {width}x{height}"
    IS_FAST = "it has {rate} pictures a second"
    BURSTS = "it has up to {rate} pictures a second"
    IS_LARGE = "it has {megabytes} MB"
    SOUND_IS = "its sound is {codec}"
    MAY_BE_INTERLACED = "its pictures may be interlaced"
    BEGINS_INSIDE = "it begins inside a group of pictures"
    WAS_CUT = "it was cut without being encoded again"
    IS_DAMAGED = "it is damaged"
    NO_TIMES = "its pictures have no times of their own"
    CHANGES_FORM = "its pictures change their form on the way"
    NO_PICTURES = "it holds no pictures"
    NOT_COPIED = "its packets cannot be copied"
    METADATA = "metadata"
    CHAPTERS = "chapters"
    COVER = "a cover"
    TRACK = "a {kind} track"

    # What may go wrong with an order.
    LONG_PROMPT = "Of {length} characters of prompt, those beyond {safe} may be ignored."
    UNKNOWN_MODEL = "This pack does not know the model {model}; the gateway will decide."
    MANY_IMAGES = "{images} images are sent; this model promises to use {most}."

    # Of the jobs that are kept.
    NEWEST = "The newest job that was not collected yet: task {task}"
    JOURNAL_DAMAGED = (
        "The journal was damaged: it is kept as {kept}, and {jobs} jobs were taken over. "
        "Jobs that it no longer tells of would be paid again."
    )


class Remark(str):
    """A sentence with its values: its English text, which can also be said in other languages.

    Goes wherever a text goes, and is told in English there; as a value of another one it keeps what it is.
    """

    sentence: Enum
    values: Mapping[str, Value]

    def __new__(cls, sentence: Enum, values: Mapping[str, Value]) -> Remark:
        text: str = sentence.value.format(**{name: _text(value) for name, value in values.items()})
        made = super().__new__(cls, text)
        made.sentence, made.values = sentence, values
        return made

    def __reduce__(self) -> tuple[type[Remark], tuple[Enum, Mapping[str, Value]]]:
        return Remark, (self.sentence, self.values)

    def facts(self) -> dict[str, Any]:
        """The same as JSON, for whoever says it in another language."""
        return {
            "key": self.sentence.name.lower(),
            "values": {name: _facts(value) for name, value in self.values.items()},
        }


Value: TypeAlias = "str | int | tuple[Remark, ...]"


def remark(sentence: Enum, **values: Value) -> Remark:
    """A sentence of ours, its values by the names that it has for them."""
    return Remark(sentence, values)


def _text(value: Value) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _facts(value: Value) -> Any:
    if isinstance(value, tuple):
        return [each.facts() for each in value]
    return value.facts() if isinstance(value, Remark) else value
