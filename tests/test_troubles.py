"""What errors say: sentences with values, the same English as ever in the log, and recognised in what was kept."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest

from nodes.gateway.errors import APIMallError, InputError, NotReached, TaskFailed, ended
from nodes.guard.errors import GuardError
from nodes.journal.errors import JournalError
from nodes.media.errors import MediaError
from nodes.remarks import Remark, Sentence, remark
from nodes.troubles import Trouble, recognised

ROOT = Path(__file__).resolve().parents[1]
# The stand-in's words are for its log, the panel's for whoever asks its routes, and a program speaks English.
OTHERS = ("rehearsal", "panel", "demo.py", "move_journal.py")
FILES = [
    path for path in sorted((ROOT / "nodes").rglob("*.py")) if path.relative_to(ROOT / "nodes").parts[0] not in OTHERS
]
# Errors that are told in English only, by their file: nobody who uses a node reads them.
ENGLISH = {
    "nodes/guard/transfer.py": "that a file has not changed is caught, and never told",
    "nodes/media/imprint.py": "told in the log: the clip is whole without what is written behind it",
    "nodes/media/poster.py": "the panel shows no poster then",
    "nodes/media/probe.py": "of a download, for which `jobs/results.py` has words of its own",
    "nodes/media/encode.py": "of pictures that no node hands over",
    "nodes/media/stills.py": "of a limit that no model has",
}


def kinds(root: type[Exception]) -> set[str]:
    return {root.__name__, *(name for child in root.__subclasses__() for name in kinds(child))}


ERRORS = set().union(*map(kinds, (APIMallError, MediaError, GuardError, JournalError)))


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).split(".")[-1]


def places(sentence: Enum) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", sentence.value))


def with_values(sentence: Trouble) -> Remark:
    return remark(sentence, **{name: f"<{name}>" for name in places(sentence)})


# What an error tells


def test_an_error_tells_its_sentences_with_their_values_and_is_english_itself() -> None:
    error = InputError(
        remark(Trouble.IMAGE_NOT_SENT, number=2, problem=remark(Trouble.PICTURE_OF_NAN)),
        advice=remark(Trouble.CHOOSE_A_MODEL),
    )
    assert error.facts()["said"] == {
        "what": {
            "key": "image_not_sent",
            "values": {"number": 2, "problem": {"key": "picture_of_nan", "values": {}}},
        },
        "advice": {"key": "choose_a_model", "values": {}},
        "charge": {"key": "nothing_sent", "values": {}},
    }
    assert str(error) == (
        "Image 2 cannot be sent: The picture holds values that are not numbers (NaN). A node before this one went "
        "wrong. Nothing was sent; no credits were spent. Choose a model."
    )


def test_a_sentence_without_an_end_gets_one_in_every_language() -> None:
    told = InputError(remark(Trouble.NO_PROMPT)).facts()
    assert told["what"] == "The prompt is empty."
    assert told["said"]["what"] == {"key": "ended", "values": {"text": {"key": "no_prompt", "values": {}}}}


def test_what_a_kind_advises_by_itself_is_told_as_a_sentence_too() -> None:
    told = NotReached("It went wrong").facts()["said"]
    assert told["advice"] == {"key": "check_network", "values": {}}
    assert told["charge"] == {"key": "nothing_sent", "values": {}}


def test_words_of_others_are_told_as_they_are() -> None:
    told = TaskFailed("The provider said so", advice="Ask it").facts()
    assert (told["what"], told["advice"], list(told["said"])) == ("The provider said so.", "Ask it", ["charge"])


def test_a_sentence_stays_one_when_it_is_copied_or_kept() -> None:
    said = remark(Trouble.NOT_CONNECTED, host="gateway.example", step=remark(Trouble.BY_PROXY))
    for again in (copy.deepcopy(said), pickle.loads(pickle.dumps(said))):  # noqa: S301 - our own bytes
        assert again == said and again.facts() == said.facts()


# What is recognised


@pytest.mark.parametrize("sentence", list(Trouble), ids=lambda sentence: sentence.name)
def test_a_kept_text_is_recognised_or_left_as_it_is(sentence: Trouble) -> None:
    said = with_values(sentence)
    again = recognised(str(said))
    assert str(again) == str(said)
    if isinstance(again, Remark):
        assert again.facts() == said.facts()
    else:
        assert places(sentence) and len(re.sub(r"\{\w+\}|[^a-zA-Z]", "", sentence.value)) < 8


def test_the_words_of_the_gateway_in_a_kept_text_stay_its_own() -> None:
    text = "The prompt was blocked by the gateway's content moderation: No swans, please"
    again = recognised(text)
    assert isinstance(again, Remark)
    assert again.facts() == {
        "key": "with_message",
        "values": {"what": {"key": "http_451", "values": {}}, "message": "No swans, please"},
    }
    assert recognised("No swans: please") == "No swans: please"
    assert not isinstance(recognised("No swans: please"), Remark)


@pytest.mark.parametrize(
    "text", ["", ": " * 300, "." * 5000, "The job failed: " * 100], ids=["none", "colons", "dots", "long"]
)
def test_a_text_that_means_ill_is_left_as_it_is(text: str) -> None:
    assert recognised(text) == text
    assert not isinstance(recognised(text), Remark)


def test_a_sentence_in_a_sentence_is_recognised_with_the_end_that_it_was_given() -> None:
    full = remark(Trouble.VIDEO_NOT_WRITTEN, folder="/clips", reason="No space left on device")
    said = remark(Trouble.BROUGHT_ELSEWHERE, what=ended(full), folder="/other", machine="box")
    again = recognised(str(said))
    assert isinstance(again, Remark) and again.facts() == said.facts()


# Where errors are raised


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_error_a_user_may_read_is_given_sentences(path: Path) -> None:
    plain = [
        f"{call.lineno}: {ast.unparse(text)}"
        for call in calls(path)
        if name_of(call) in ERRORS or name_of(call) == "about"
        for text in (*call.args, *(each.value for each in call.keywords if each.arg == "advice"))
        if isinstance(text, ast.JoinedStr) or (isinstance(text, ast.Constant) and isinstance(text.value, str))
    ]
    known = path.relative_to(ROOT).as_posix() in ENGLISH
    assert bool(plain) == known, plain or "a line in `ENGLISH` that is no longer needed"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_sentence_is_given_the_values_that_it_has_places_for(path: Path) -> None:
    for call in calls(path):
        found = re.fullmatch(r"(Trouble|Sentence)\.([A-Z0-9_]+)", ast.unparse(call.args[0]) if call.args else "")
        if name_of(call) != "remark" or found is None:
            continue
        sentence = {"Trouble": Trouble, "Sentence": Sentence}[found[1]][found[2]]
        given = {each.arg for each in call.keywords}
        # `**told` stands for any of them; what is missing there is found by the test of that error.
        fits = given - {None} <= places(sentence) if None in given else given == places(sentence)
        assert fits, f"{path}:{call.lineno}"


def test_no_sentence_is_left_that_nothing_says() -> None:
    source = "\n".join(path.read_text("utf-8") for path in FILES)
    assert [each.name for each in Trouble if not re.search(rf"\bTrouble\.{each.name}\b", source)] == []
