"""Money rule 7 as a table: what was asked, what came of it, which attempt -> the pause before it is repeated."""

from __future__ import annotations

import pytest

from nodes.gateway.errors import (
    AccessRefused,
    APIMallError,
    BadRequest,
    CreditsMissing,
    GatewayBroken,
    KeyConflict,
    KeyRefused,
    NotReached,
    PromptBlocked,
    ProviderBusy,
    ReplyLost,
    TaskUnknown,
    Throttled,
    Unreadable,
)
from nodes.gateway.retry import LONGEST_HINT_SECONDS, Call, Pause, may_repeat

NEVER = None
PAID, LOOK, UPLOAD, BALANCE = Call.CREATE, Call.QUERY, Call.UPLOAD, Call.BALANCE

TABLE: list[tuple[Call, type[APIMallError], int, float | None]] = [
    # The paid request: only what never arrived or may not have, and only a few times.
    (PAID, NotReached, 1, 2.0),
    (PAID, NotReached, 2, 4.0),
    (PAID, NotReached, 3, 8.0),
    (PAID, NotReached, 4, NEVER),
    (PAID, ReplyLost, 1, 2.0),
    (PAID, ReplyLost, 3, 8.0),
    (PAID, ReplyLost, 4, NEVER),
    (PAID, GatewayBroken, 1, 2.0),
    (PAID, GatewayBroken, 4, NEVER),
    (PAID, Unreadable, 1, 2.0),
    (PAID, Unreadable, 4, NEVER),
    # 400 401 402 403 404 451 and 409: never.
    (PAID, BadRequest, 1, NEVER),
    (PAID, KeyRefused, 1, NEVER),
    (PAID, CreditsMissing, 1, NEVER),
    (PAID, AccessRefused, 1, NEVER),
    (PAID, TaskUnknown, 1, NEVER),
    (PAID, PromptBlocked, 1, NEVER),
    (PAID, KeyConflict, 1, NEVER),
    # 429 and 425: wait, don't fail.
    (PAID, Throttled, 1, 5.0),
    (PAID, Throttled, 4, 40.0),
    (PAID, Throttled, 50, 60.0),
    # 503: the provider is busy, and nobody says for how long. With the same key it is as harmless as a 429.
    (PAID, ProviderBusy, 1, 5.0),
    (PAID, ProviderBusy, 4, 40.0),
    (PAID, ProviderBusy, 50, 60.0),
    # Looking costs nothing: nothing but the gateway's own word ends it.
    (LOOK, NotReached, 1, 2.0),
    (LOOK, NotReached, 1000, 60.0),
    (LOOK, ReplyLost, 1000, 60.0),
    (LOOK, Unreadable, 1000, 60.0),
    (LOOK, GatewayBroken, 1, 3.0),
    (LOOK, GatewayBroken, 1000, 60.0),
    (LOOK, Throttled, 1, 5.0),
    (LOOK, TaskUnknown, 1, 2.0),
    (LOOK, TaskUnknown, 3, 8.0),
    (LOOK, TaskUnknown, 4, NEVER),
    (LOOK, BadRequest, 1, NEVER),
    # One machine of many that does not know the key ends nothing; all of them would.
    (LOOK, KeyRefused, 1, 5.0),
    (LOOK, KeyRefused, 2, 10.0),
    (LOOK, KeyRefused, 3, NEVER),
    (LOOK, AccessRefused, 1, 5.0),
    (LOOK, AccessRefused, 3, NEVER),
    (LOOK, CreditsMissing, 1, NEVER),
    (LOOK, ProviderBusy, 1000, 60.0),
    (LOOK, PromptBlocked, 1, NEVER),
    (LOOK, KeyConflict, 1, NEVER),
    (UPLOAD, NotReached, 1, 2.0),
    (UPLOAD, NotReached, 4, NEVER),
    (UPLOAD, ReplyLost, 1, 2.0),
    (UPLOAD, GatewayBroken, 1, 2.0),
    (UPLOAD, ProviderBusy, 4, NEVER),
    (UPLOAD, Unreadable, 4, NEVER),
    (UPLOAD, BadRequest, 1, NEVER),
    (UPLOAD, KeyRefused, 1, NEVER),
    (UPLOAD, Throttled, 9, 60.0),
    (BALANCE, NotReached, 1, 2.0),
    (BALANCE, KeyRefused, 1, NEVER),
    (BALANCE, Throttled, 1, 5.0),
]


@pytest.mark.parametrize(("call", "outcome", "attempt", "seconds"), TABLE)
def test_may_this_be_repeated(call: Call, outcome: type[APIMallError], attempt: int, seconds: float | None) -> None:
    pause = may_repeat(call, outcome("it went wrong"), attempt)
    assert (pause and pause.seconds) == seconds


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 5.0), (2, 10.0), (6, 60.0), (7, NEVER)])
def test_a_conflict_is_repeated_a_few_times_while_our_own_create_may_be_under_way(
    attempt: int, seconds: float | None
) -> None:
    pause = may_repeat(PAID, KeyConflict("seen"), attempt, in_flight=True)
    assert (pause and pause.seconds) == seconds


def test_a_conflict_that_says_when_to_come_back_is_repeated_a_few_times() -> None:
    conflict = KeyConflict("seen", retry_after_seconds=7.0)
    assert may_repeat(PAID, conflict, 1) == Pause(7.0, hinted=True)
    assert may_repeat(PAID, conflict, 4) == Pause(40.0), "and ever later, so that they span minutes"
    assert may_repeat(PAID, conflict, 7) is None


@pytest.mark.parametrize("call", list(Call))
@pytest.mark.parametrize("outcome", [CreditsMissing, PromptBlocked, BadRequest, KeyConflict])
def test_what_is_refused_for_good_is_never_repeated_whatever_was_asked(call: Call, outcome: type[APIMallError]) -> None:
    assert all(may_repeat(call, outcome("no"), attempt) is None for attempt in (1, 2, 10))


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [(0.0, 1.0), (7.0, 7.0), (299.0, 299.0), (86_400.0, LONGEST_HINT_SECONDS), (1e12, LONGEST_HINT_SECONDS)],
)
def test_a_hint_of_the_gateway_is_obeyed_within_reason(hint: float, seconds: float) -> None:
    pause = may_repeat(PAID, Throttled("later", retry_after_seconds=hint), 1)
    assert pause == Pause(seconds, hinted=True)


def test_a_hinted_pause_is_only_ever_lengthened() -> None:
    hinted = Pause(10.0, hinted=True)
    assert [hinted.with_jitter(chance) for chance in (0.0, 0.5, 0.99)] == [10.0, 10.5, 10.99]


def test_a_pause_of_our_own_is_spread_a_quarter_to_both_sides() -> None:
    assert [Pause(8.0).with_jitter(chance) for chance in (0.0, 0.5, 1.0)] == [6.0, 8.0, 10.0]


def test_a_hint_does_not_make_a_refusal_repeatable() -> None:
    assert may_repeat(PAID, PromptBlocked("no", retry_after_seconds=1.0), 1) is None
