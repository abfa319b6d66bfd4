"""Everything that can go wrong with a paid job, and what it cost.

    APIMallError
    +-- InputError          an input is wrong                              not sent
    +-- SetupError          key, address, journal or a limit in the way    not sent
    |   +-- KeyMissing          neither a key nor the rehearsal
    |   +-- DatabaseAway        the shared journal's database
    +-- NotReached          DNS, connection, TLS or proxy failed           not sent
    +-- Refused             the gateway said no                            rejected, not charged
    |   +-- BadRequest          400 and other 4xx
    |   +-- KeyRefused          401
    |   +-- CreditsMissing      402
    |   +-- AccessRefused       403
    |   +-- TaskUnknown         404
    |   +-- PromptBlocked       451
    |   +-- Throttled           429, 425: not now
    +-- Unclear             the request left, no usable answer came back   uncertain
    |   +-- ReplyLost           timeout or reset after sending
    |   +-- GatewayBroken       5xx, 408 and the like
    |   |   +-- ProviderBusy        503
    |   +-- Unreadable          not JSON, wrong shape, a redirect
    |   +-- KeyConflict         409
    |   +-- Unsettled           it may have been taken: not repeated unasked
    +-- TaskFailed          the gateway ended the job                      refunded n of m
    +-- StillRunning        we stopped waiting, the job goes on            still running, charged m
    |   +-- Detached            interrupted, cancelled, host going down
    +-- NotDownloaded       completed, but not on this disk yet            charged m
    +-- ResultGone          completed, and no longer to be had             charged m
    +-- NotDecoded          on this disk, but its frames cannot be made    charged m

Charges: rule 6 of `docs/rules.md`. Status codes: `docs/gateway.md`, "Error codes" and "Refusals".
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from ..remarks import Remark, remark
from ..troubles import Trouble

ERRORS_MODULE = "apimall"
"""The module that errors seem to come from where users read it: `apimall.KeyRefused`."""


class Charge(str, Enum):
    """What a job has cost so far, as far as anybody can know."""

    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    REFUNDED = "refunded"
    RUNNING = "running"
    CHARGED = "charged"
    UNCERTAIN = "uncertain"

    def words(self, used: float | None = None, refunded: float | None = None) -> str:
        """The charge as one plain sentence; `used` and `refunded` are credits."""
        stated, unstated = _refund(refunded) if self is Charge.REFUNDED else _CHARGES[self]
        amounts = {"used": used, "refunded": refunded}
        sentence = unstated if used is None else stated
        return remark(sentence, **{name: _amount(amounts[name]) for name in re.findall(r"\{(\w+)\}", sentence.value)})


_CHARGES = {
    Charge.NOT_SENT: (Trouble.NOTHING_SENT, Trouble.NOTHING_SENT),
    Charge.REJECTED: (Trouble.JOB_REJECTED, Trouble.JOB_REJECTED),
    Charge.RUNNING: (Trouble.JOB_RUNS, Trouble.JOB_RUNS_UNSTATED),
    Charge.CHARGED: (Trouble.CHARGED, Trouble.CHARGED_UNSTATED),
    Charge.UNCERTAIN: (Trouble.SPENT_UNCERTAIN, Trouble.SPENT_UNCERTAIN),
}
"""What is said of each charge where the credits were stated, and where they were not."""


def _refund(refunded: float | None) -> tuple[Trouble, Trouble]:
    if refunded is None:
        return Trouble.REFUND_NOT_TOLD, Trouble.REFUND_NOT_TOLD_UNSTATED
    if refunded == 0:
        return Trouble.NONE_REFUNDED, Trouble.NONE_REFUNDED_UNSTATED
    return Trouble.REFUNDED, Trouble.REFUNDED_UNSTATED


def _amount(credits: float | None) -> str:
    assert credits is not None, "what is not known has a sentence without it"
    return f"{credits:g}" if abs(credits) < 1e15 else f"{credits:.3e}"


class APIMallError(Exception):
    """A failure that says what happened, what it cost, and what to do; `str()` is the whole message.

    Attributes are plain values: `what` and `advice` (sentences of ours are remarks), `charge`, `credits_used` and
    `credits_refunded` (credits), `status` (HTTP), `code` (the gateway's word), `request_id`, `provider_request_id`,
    `task_id`, `retry_after_seconds` (the gateway's hint).
    """

    # ComfyUI shows users the module of an exception beside its name, and ours begins with the path of the install.
    __module__ = ERRORS_MODULE

    default_charge = Charge.UNCERTAIN
    default_advice: str = ""

    def __init_subclass__(cls) -> None:
        cls.__module__ = ERRORS_MODULE

    def __init__(
        self,
        what: str,
        *,
        advice: str | None = None,
        charge: Charge | None = None,
        credits_used: float | None = None,
        credits_refunded: float | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        provider_request_id: str | None = None,
        task_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what if isinstance(what, Remark) else what.rstrip()
        self.advice = self.default_advice if advice is None else advice
        self.charge = self.default_charge if charge is None else charge
        self.credits_used = credits_used
        self.credits_refunded = credits_refunded
        self.status = status
        self.code = code
        self.request_id = request_id
        self.provider_request_id = provider_request_id
        self.task_id = task_id
        self.retry_after_seconds = retry_after_seconds

    @property
    def short(self) -> str:
        """What happened and what it cost, for the body of a node."""
        return f"{ended(self.what)} {self.charge.words(self.credits_used, self.credits_refunded)}"

    def facts(self) -> dict[str, Any]:
        """All of it as plain values, for a user interface that has words of its own; `said`: sentences of ours."""
        told = {"what": ended(self.what), "advice": self.advice}
        charge = self.charge.words(self.credits_used, self.credits_refunded)
        return {
            "kind": type(self).__name__,
            **told,
            "said": {
                name: text.facts() for name, text in {**told, "charge": charge}.items() if isinstance(text, Remark)
            },
            "charge": self.charge.value,
            "credits_used": self.credits_used,
            "credits_refunded": self.credits_refunded,
            "task_id": self.task_id,
            "request_id": self.request_id,
            "provider_request_id": self.provider_request_id,
            "http_status": self.status,
            "code": self.code,
        }

    def __str__(self) -> str:
        parts = [self.short, self.advice, self._ids()]
        return " ".join(part for part in parts if part)

    def _ids(self) -> str:
        named = {
            "task": self.task_id,
            "request": self.request_id,
            "provider request": self.provider_request_id,
            "HTTP": self.status,
            "code": self.code,
        }
        known = [f"{name} {value}" for name, value in named.items() if value]
        return f"({', '.join(known)})" if known else ""


def ended(text: str) -> str:
    """The same with a full stop, if it has no end of its own."""
    if text.endswith((".", "!", "?")):
        return text
    return remark(Trouble.ENDED, text=text) if isinstance(text, Remark) else f"{text}."


class InputError(APIMallError):
    """An input of the node is wrong; found before anything was sent."""

    default_charge = Charge.NOT_SENT


class SetupError(APIMallError):
    """The pack cannot work as it is set up: key, base URL, journal, limits."""

    default_charge = Charge.NOT_SENT


class KeyMissing(SetupError):
    """There is no key yet, and the rehearsal is off."""

    default_advice = remark(Trouble.ENTER_A_KEY)


class DatabaseAway(SetupError):
    """The journal that machines share cannot be opened: its database cannot be reached now. It may be soon."""

    default_advice = remark(Trouble.DATABASE_AWAY)


class NotReached(APIMallError):
    """No connection to the gateway: not one byte of the body left this machine."""

    default_charge = Charge.NOT_SENT
    default_advice = remark(Trouble.CHECK_NETWORK)


class Refused(APIMallError):
    """The gateway answered, and the answer was no."""

    default_charge = Charge.REJECTED


class BadRequest(Refused):
    """400, and any 4xx without a class of its own."""

    default_advice = remark(Trouble.CHANGE_INPUTS)


class KeyRefused(Refused):
    """401: the key is missing, wrong or revoked."""

    default_advice = remark(Trouble.CHECK_KEY)


class CreditsMissing(Refused):
    """402: the account has too few credits."""

    default_advice = remark(Trouble.TOP_UP)


class AccessRefused(Refused):
    """403: the account is not approved for the API, or the host is not the gateway's."""

    default_advice = remark(Trouble.CHECK_ACCESS)


class TaskUnknown(Refused):
    """404: the gateway does not know what was asked for."""

    default_advice = remark(Trouble.CHECK_ID)


class PromptBlocked(Refused):
    """451: the prompt was blocked by content moderation."""

    default_advice = remark(Trouble.CHANGE_PROMPT)


class Throttled(Refused):
    """429 (too many requests, or too many jobs at once) or 425: the same request may be welcome later."""

    default_advice = remark(Trouble.WAIT_A_LITTLE)


class Unclear(APIMallError):
    """The request left this machine, and what became of it is not known."""

    default_charge = Charge.UNCERTAIN
    default_advice = remark(Trouble.SAME_KEY_AGAIN)


class ReplyLost(Unclear):
    """The connection broke or timed out after the request was sent."""


class GatewayBroken(Unclear):
    """5xx, or 408, 444, 460, 499: the gateway, or a proxy before it, failed while it had the request."""


class ProviderBusy(GatewayBroken):
    """503: the provider behind the gateway is busy or away."""


class Unreadable(Unclear):
    """An answer that is not what the contract describes."""


class KeyConflict(Unclear):
    """409: the gateway has seen this Idempotency-Key and does not say what came of it."""


class Unsettled(Unclear):
    """An earlier create of this job may have been taken, and to repeat it is not safe: only its owner can settle it."""

    default_advice = remark(Trouble.LOOK_AT_HISTORY)


class TaskFailed(APIMallError):
    """The gateway ended the job as failed."""

    default_charge = Charge.REFUNDED
    default_advice = remark(Trouble.CHANGE_OR_AGAIN)


class StillRunning(APIMallError):
    """We stopped waiting; the gateway goes on with the job."""

    default_charge = Charge.RUNNING
    default_advice = remark(Trouble.NOTHING_LOST)


class Detached(StillRunning):
    """The wait ended from our side: interrupt, cancelled prompt, host going down."""


class NotDownloaded(APIMallError):
    """The gateway completed the job, but its file is not on this disk yet."""

    default_charge = Charge.CHARGED
    default_advice = remark(Trouble.FETCH_AGAIN)


class ResultGone(APIMallError):
    """The gateway completed the job, and no longer has its file."""

    default_charge = Charge.CHARGED
    default_advice = remark(Trouble.LOOK_OR_RAISE_TAKE)


class NotDecoded(APIMallError):
    """The clip is on this disk, but what is linked to the node cannot be made from it."""

    default_charge = Charge.CHARGED
    default_advice = remark(Trouble.NEEDS_NO_DECODING)
