"""Getting a file to where the gateway can read it: presigned first, inside JSON where that fails, never paid for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.gateway.client import Gateway, open_session
from nodes.gateway.contract import LARGEST_BASE64_BYTES, LARGEST_UPLOAD_BYTES
from nodes.gateway.errors import APIMallError, Charge, GatewayBroken, InputError, KeyRefused, NotReached
from nodes.gateway.uploader import Uploader, check_upload
from nodes.guard.storage import put
from nodes.rehearsal import faults
from nodes.rehearsal.script import Said
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness


class Bench:
    """An uploader, and what it did beside uploading."""

    def __init__(self, gateway: RehearsalGateway) -> None:
        session = open_session(gateway.base_url)
        client = Gateway(gateway.base_url, harness.KEY, session=lambda: session, timeouts=harness.PATIENT)
        self.pauses: list[float] = []
        self.spent = 0
        self.held_off: list[float] = []
        self.uploader = Uploader(
            client,
            lambda url, file, kind: put(url, file, kind, loopback_origin=gateway.base_url),
            pause=self.pauses.append,
            spend=self._spend,
            hold_off=self.held_off.append,
        )

    def _spend(self) -> None:
        self.spent += 1


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RehearsalGateway]:
    with harness.rehearsal(tmp_path / "gateway") as server:
        yield server


@pytest.fixture
def bench(gateway: RehearsalGateway) -> Bench:
    return Bench(gateway)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "holiday with the family.png"
    path.write_bytes(harness.tiny_picture())
    return path


def failure(bench: Bench, file: Path) -> APIMallError:
    with pytest.raises(APIMallError) as caught:
        bench.uploader.upload(file, "image/png")
    return caught.value


def test_a_file_goes_to_the_address_it_is_given_under_a_name_that_tells_nothing(
    bench: Bench, gateway: RehearsalGateway, picture: Path
) -> None:
    first, second = (bench.uploader.upload(picture, "image/png") for _ in range(2))
    assert gateway.record.of("put")[0].body == harness.tiny_picture()
    assert first != second
    assert "holiday" not in first
    assert first.endswith(".png")
    assert bench.spent == 2


def test_without_an_address_to_put_to_the_file_travels_inside_json(
    bench: Bench, gateway: RehearsalGateway, picture: Path
) -> None:
    gateway.always("upload_url", "404")
    bench.uploader.upload(picture, "image/png")
    assert len(gateway.record.of("upload_url")) == 1
    assert len(gateway.record.of("base64")) == 1
    assert bench.pauses == []


def test_a_storage_that_refuses_is_asked_twice_and_then_left_alone(
    bench: Bench, gateway: RehearsalGateway, picture: Path
) -> None:
    gateway.always("put", "403")
    bench.uploader.upload(picture, "image/png")
    assert (len(gateway.record.of("put")), len(gateway.record.of("base64"))) == (2, 1)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Too large to travel inside JSON."""
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(LARGEST_BASE64_BYTES + 1)
    return path


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            faults.instead(403, code="AccessDenied", message="Request has expired"),
            "403, AccessDenied: Request has e",
        ),
        (faults.instead(403, code="AccessDenied", message="Request has expired"), "clock"),
        (faults.instead(413, code="EntityTooLarge", message="Too much."), "Shorten or shrink"),
        (faults.instead(503, body=b"<html>busy</html>", content_type="text/html"), "HTTP 503. Try again later."),
        (faults.instead(500, body=b"<Code>a\x00\n\xe2\x80\xaeb</Code>" + b"x" * 9000), "HTTP 500, ab"),
        (faults.instead(500, body=b"<Message>" + b"long " * 700 + b"</Message>"), "HTTP 500, long long"),
        ("drop-before", "could not be used"),
    ],
)
def test_what_is_too_large_for_json_is_told_with_what_the_storage_answered(
    answer: Said, words: str, bench: Bench, gateway: RehearsalGateway, large: Path
) -> None:
    gateway.always("put", answer)
    told = failure(bench, large)
    assert type(told) is NotReached
    assert told.charge is Charge.NOT_SENT
    assert words in told.what
    assert "127.0.0.1" in told.what, "the storage is named"
    assert "signature" not in str(told), "the address itself is not"
    assert str(told).isprintable() and len(str(told)) < 500
    assert gateway.record.of("base64") == []


def test_a_storage_that_nobody_answers_for_is_named_with_the_step_that_failed(
    bench: Bench, gateway: RehearsalGateway, large: Path
) -> None:
    gateway.always("upload_url", 'fields:{"upload_url": "https://storage.internal/x?signature=canary"}')
    told = failure(bench, large)
    assert "storage.internal names a machine in a local network" in told.what
    assert "canary" not in str(told)


@pytest.mark.parametrize("status", [404, 401, 500])
def test_when_the_second_way_fails_too_both_are_told(
    status: int, bench: Bench, gateway: RehearsalGateway, picture: Path
) -> None:
    gateway.always("put", faults.instead(403, code="SignatureDoesNotMatch", message="No."))
    gateway.always("base64", faults.instead(status, message="Not today"))
    told = failure(bench, picture)
    assert "HTTP 403, SignatureDoesNotMatch" in told.what
    assert "Not today" in told.what
    assert told.status == status


def test_an_upload_that_got_no_address_says_so(bench: Bench, gateway: RehearsalGateway, picture: Path) -> None:
    gateway.always("upload_url", faults.instead(402, message="Balance too low"))
    told = failure(bench, picture)
    assert told.what.startswith("No address to upload to: ")
    assert "Balance too low" in told.what


@pytest.mark.parametrize(("fault", "kind"), [("401", KeyRefused), ("500", GatewayBroken)])
@pytest.mark.parametrize("step", ["upload_url", "base64"])
def test_a_failed_upload_has_cost_nothing_whatever_the_failure_usually_costs(
    step: str, fault: str, kind: type[APIMallError], bench: Bench, gateway: RehearsalGateway, picture: Path
) -> None:
    if step == "base64":
        gateway.always("upload_url", "404")
    gateway.always(step, fault)
    told = failure(bench, picture)
    assert type(told) is kind
    assert told.charge is Charge.NOT_SENT
    assert "Idempotency-Key" not in str(told)


def test_a_429_is_waited_for_and_passed_on_to_everybody(bench: Bench, gateway: RehearsalGateway, picture: Path) -> None:
    gateway.script("upload_url", *["429:7"] * 6)
    bench.uploader.upload(picture, "image/png")
    assert bench.pauses == bench.held_off == [7.0] * 6


def test_whoever_gives_up_in_a_pause_is_let_go(gateway: RehearsalGateway, picture: Path) -> None:
    class Left(Exception):
        """The user has gone."""

    def pause(seconds: float) -> None:
        raise Left

    bench = Bench(gateway)
    uploader = Uploader(
        bench.uploader._gateway, bench.uploader._put, pause=pause, spend=lambda: None, hold_off=lambda seconds: None
    )
    gateway.always("upload_url", "503")
    with pytest.raises(Left):
        uploader.upload(picture, "image/png")
    assert len(gateway.record.of("upload_url")) == 1


@pytest.mark.parametrize(
    ("size", "kind"), [(0, "image/png"), (LARGEST_UPLOAD_BYTES + 1, "video/mp4"), (5, "text/html"), (5, "audio/wav")]
)
def test_what_the_gateway_would_refuse_is_refused_before_anything_is_sent(size: int, kind: str) -> None:
    with pytest.raises(InputError) as caught:
        check_upload(size, kind)
    assert caught.value.charge is Charge.NOT_SENT


def test_the_largest_file_the_gateway_takes_is_taken() -> None:
    check_upload(LARGEST_UPLOAD_BYTES, "video/mp4")
