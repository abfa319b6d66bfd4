"""Money rule 6: whatever goes wrong says what happened, what it cost, and what to do."""

from __future__ import annotations

import inspect
import pickle

import pytest

from nodes.gateway import errors
from nodes.gateway.errors import APIMallError, Charge, NotDownloaded, StillRunning, TaskFailed, Unreadable

PROMISED = {
    Charge.NOT_SENT: "no credits were spent",
    Charge.REJECTED: "rejected the job; no credits were spent",
    Charge.REFUNDED: "Refunded: 10 of 30 credits",
    Charge.RUNNING: "still running at the gateway; 30 credits were charged",
    Charge.CHARGED: "30 credits were charged",
    Charge.UNCERTAIN: "uncertain whether credits were spent",
}

# Where a message matches one of these, ComfyUI's user interface shows a text of its own instead.
REWRITTEN = (
    "unauthorized: please login first",
    "payment required: please add credits",
    "rate limit exceeded:",
    "field 'prompt' cannot be empty",
    "generated content was rejected by a safety check",
)


def leaves(kind: type[APIMallError] = APIMallError) -> list[type[APIMallError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return [kind, *below]


LEAVES = leaves()


def test_every_class_of_the_tree_is_drawn_in_its_page() -> None:
    assert errors.__doc__ is not None
    missing = [kind.__name__ for kind in LEAVES if kind.__name__ not in errors.__doc__]
    assert not missing


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_failure_says_what_happened_what_it_cost_and_what_to_do(kind: type[APIMallError]) -> None:
    failure = kind(
        "It went wrong",
        credits_used=30,
        credits_refunded=10,
        task_id="vid_1",
        request_id="req_1",
        status=418,
        code="tea",
    )
    told = str(failure)
    assert told.startswith("It went wrong. ")
    assert PROMISED[failure.charge] in told
    assert "(task vid_1, request req_1, HTTP 418, code tea)" in told
    assert failure.short in told
    general = kind in (APIMallError, errors.InputError, errors.SetupError, errors.Refused)
    assert failure.default_advice or general, "a leaf without advice leaves its reader alone"
    assert failure.default_advice in told


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_no_message_has_words_that_comfyui_replaces_by_its_own(kind: type[APIMallError]) -> None:
    told = str(kind("It went wrong", credits_used=30)).lower()
    assert not [phrase for phrase in REWRITTEN if phrase in told]


def test_the_words_of_the_client_are_not_replaced_either() -> None:
    from nodes.gateway import client

    texts = " ".join(meaning.value for meaning in client._MEANING.values()).lower()
    assert not [phrase for phrase in REWRITTEN if phrase in texts]


@pytest.mark.parametrize("charge", list(Charge))
def test_a_charge_can_be_told_without_any_number(charge: Charge) -> None:
    words = charge.words()
    assert words.endswith(".")
    assert "None" not in words


@pytest.mark.parametrize(
    ("used", "refunded", "words"),
    [
        (30, 30, "Refunded: 30 of 30 credits."),
        (30, 0, "30 credits were charged, none refunded yet."),
        (30, None, "Refunded: not told yet, of 30 credits."),
        (None, 5, "Refunded: 5 of the credits."),
        (2.5, 1.25, "Refunded: 1.25 of 2.5 credits."),
        (1e300, 0, "1.000e+300 credits were charged, none refunded yet."),
    ],
)
def test_refunds_are_told_as_numbers(used: float | None, refunded: float | None, words: str) -> None:
    assert Charge.REFUNDED.words(used, refunded) == words


def test_what_is_not_known_is_left_out_of_the_message() -> None:
    assert "(" not in str(StillRunning("We stopped waiting"))


def test_a_sentence_is_not_given_a_second_full_stop() -> None:
    assert NotDownloaded("The disk is full.").short.startswith("The disk is full. ")


def test_a_charge_given_to_a_failure_wins_over_its_usual_one() -> None:
    assert TaskFailed("x", charge=Charge.CHARGED).charge is Charge.CHARGED


def test_each_leaf_takes_the_same_facts() -> None:
    signatures = {str(inspect.signature(kind)) for kind in LEAVES}
    assert len(signatures) == 1


def test_charge_words_are_plain_strings_for_the_journal() -> None:
    assert Charge("uncertain") is Unreadable("x").charge
    assert pickle.loads(pickle.dumps(Charge.RUNNING)) is Charge.RUNNING  # noqa: S301 - our own bytes
