"""The client over real HTTP: what leaves this machine, byte for byte, and how each failure is named."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from email.utils import formatdate
from pathlib import Path

import pytest
import requests

from nodes.gateway.client import Gateway, Timeouts, open_session, parse_retry_after
from nodes.gateway.errors import (
    AccessRefused,
    APIMallError,
    BadRequest,
    Charge,
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
from tests.support.gateway import OK, ScriptedGateway, answer

KEY = "sk-canary-5f1e9a7c"
QUICK = Timeouts(connect_seconds=3.0, read_seconds=0.4, reply_seconds=0.8)
BODY = b'{"model":"wan2-6","prompt":"a d\xc3\xb6g"}'


def client(base_url: str, timeouts: Timeouts = QUICK, key: str = KEY) -> Gateway:
    session = open_session(base_url)
    return Gateway(base_url, key, session=lambda: session, timeouts=timeouts)


def failure_of(reply: bytes) -> APIMallError:
    with ScriptedGateway(reply) as server, pytest.raises(APIMallError) as caught:
        client(server.base_url).create(BODY, "key-1")
    return caught.value


def test_a_paid_request_is_exactly_this() -> None:
    with ScriptedGateway(answer()) as server:
        accepted = client(server.base_url).create(BODY, "key-1")
        head = server.head()
        assert server.body() == BODY
    assert head.pop("user-agent").startswith("python-requests/")
    assert head == {
        "": "POST /api/v1/videos/generate HTTP/1.1",
        "host": f"127.0.0.1:{server.port}",
        "authorization": f"Bearer {KEY}",
        "idempotency-key": "key-1",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "keep-alive",
    }
    assert accepted.task_id == "vid_1"


def test_a_look_sends_the_key_and_no_body_and_hides_nothing_in_the_path() -> None:
    with ScriptedGateway(answer()) as server:
        client(server.base_url).query("vid/../1?x#y z")
        head = server.head()
    assert head[""] == "GET /api/v1/videos/vid%2F..%2F1%3Fx%23y%20z HTTP/1.1"
    assert head["authorization"] == f"Bearer {KEY}"
    assert "content-length" not in head
    assert "idempotency-key" not in head


@pytest.mark.parametrize(
    ("status", "kind", "charge"),
    [
        ("400 Bad Request", BadRequest, Charge.REJECTED),
        ("401 Unauthorized", KeyRefused, Charge.REJECTED),
        ("402 Payment Required", CreditsMissing, Charge.REJECTED),
        ("403 Forbidden", AccessRefused, Charge.REJECTED),
        ("404 Not Found", TaskUnknown, Charge.REJECTED),
        ("405 Method Not Allowed", BadRequest, Charge.REJECTED),
        ("408 Request Timeout", GatewayBroken, Charge.UNCERTAIN),
        ("409 Conflict", KeyConflict, Charge.UNCERTAIN),
        ("413 Too Large", BadRequest, Charge.REJECTED),
        ("418 Teapot", BadRequest, Charge.REJECTED),
        ("425 Too Early", Throttled, Charge.REJECTED),
        ("429 Too Many Requests", Throttled, Charge.REJECTED),
        ("444 No Response", GatewayBroken, Charge.UNCERTAIN),
        ("460 Gone", GatewayBroken, Charge.UNCERTAIN),
        ("499 Client Closed Request", GatewayBroken, Charge.UNCERTAIN),
        ("451 Unavailable", PromptBlocked, Charge.REJECTED),
        ("500 Error", GatewayBroken, Charge.UNCERTAIN),
        ("502 Bad Gateway", GatewayBroken, Charge.UNCERTAIN),
        ("503 Unavailable", ProviderBusy, Charge.UNCERTAIN),
        ("504 Timeout", GatewayBroken, Charge.UNCERTAIN),
        ("599 Odd", GatewayBroken, Charge.UNCERTAIN),
        ("204 No Content", Unreadable, Charge.UNCERTAIN),
        ("302 Found", Unreadable, Charge.UNCERTAIN),
        ("307 Temporary Redirect", Unreadable, Charge.UNCERTAIN),
    ],
)
def test_each_status_has_its_class_and_its_charge(status: str, kind: type[APIMallError], charge: Charge) -> None:
    body = b'{"success":false,"error":{"code":"a_code","message":"its words"},"request_id":"req_7"}'
    failure = failure_of(answer(b"" if status.startswith("204") else body, status))
    assert type(failure) is kind
    assert failure.charge is charge
    assert failure.status == int(status[:3])
    if not status.startswith("204"):
        assert (failure.code, failure.request_id) == ("a_code", "req_7")
        assert "its words" in str(failure)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("insufficient_credits", CreditsMissing),
        ("unauthorized", KeyRefused),
        ("rate_limited", Throttled),
        ("internal_error", GatewayBroken),
        ("never heard of", Unreadable),
    ],
)
def test_success_false_under_200_goes_by_its_code(code: str, kind: type[APIMallError]) -> None:
    failure = failure_of(answer(b'{"success":false,"error":{"code":"%s"}}' % code.encode()))
    assert type(failure) is kind


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"<html>hello</html>"),
        answer(b""),
        answer(OK[:-9]),
        answer(b"[1,2]"),
        answer(b'{"success":true,"data":{}}'),
        answer(b'{"success":true,"data":{"task_id":null}}'),
        answer(b"{" + b" " * 5_000_000 + b"}"),
    ],
    ids=["html", "empty", "truncated", "list", "no task", "null task", "huge"],
)
def test_an_unreadable_acceptance_leaves_the_charge_uncertain(reply: bytes) -> None:
    failure = failure_of(reply)
    assert type(failure) is Unreadable
    assert failure.charge is Charge.UNCERTAIN


@pytest.mark.parametrize(
    "reply",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"garbage that is no HTTP\r\n\r\n", b"HTTP"],
    ids=["hung up", "cut short", "garbage", "half a line"],
)
def test_a_connection_that_breaks_after_sending_is_a_lost_reply(reply: bytes) -> None:
    failure = failure_of(reply)
    assert type(failure) is ReplyLost
    assert failure.charge is Charge.UNCERTAIN


def test_a_409_that_names_the_task_hands_it_on() -> None:
    failure = failure_of(answer(b'{"success":false,"data":{"task_id":"vid_9"},"error":{"code":"c"}}', "409 Conflict"))
    assert failure.task_id == "vid_9"


def _silent() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_gateway_that_never_answers_is_a_lost_reply() -> None:
    with _silent() as listener, pytest.raises(ReplyLost, match="no answer in time"):
        client(f"http://127.0.0.1:{listener.getsockname()[1]}").create(BODY, "key-1")


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Slow:", b""]
)
def test_a_reply_that_drips_is_given_up_as_a_whole(head: bytes) -> None:
    with _silent() as listener:
        stop = threading.Event()

        def drip() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(head)
                with contextlib.suppress(OSError):
                    while not stop.wait(0.05):
                        line.sendall(b" ")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        with pytest.raises(ReplyLost, match="no answer in time"):
            client(f"http://127.0.0.1:{listener.getsockname()[1]}").create(BODY, "key-1")
        stop.set()
        thread.join(5)


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_refused_connection_is_certainly_not_sent() -> None:
    with pytest.raises(NotReached, match="connection refused") as caught:
        client(f"http://127.0.0.1:{closed_port()}").create(BODY, "key-1")
    assert caught.value.charge is Charge.NOT_SENT


def test_a_name_that_does_not_resolve_is_certainly_not_sent() -> None:
    with pytest.raises(NotReached, match="could not be resolved"):
        client("https://nonexistent.invalid").create(BODY, "key-1")


def test_a_failed_tls_handshake_is_certainly_not_sent() -> None:
    with ScriptedGateway(answer(), hasty=True) as server, pytest.raises(NotReached, match="TLS failed"):
        client(f"https://127.0.0.1:{server.port}").create(BODY, "key-1")


def test_a_failed_proxy_is_certainly_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(NotReached, match="proxy failed"):
        client("https://gateway.example").create(BODY, "key-1")


def test_looks_are_told_apart_by_the_same_means() -> None:
    with pytest.raises(NotReached):
        client(f"http://127.0.0.1:{closed_port()}").query("vid_1")
    with ScriptedGateway(b"") as server, pytest.raises(ReplyLost):
        client(server.base_url).query("vid_1")


def test_a_loopback_gateway_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    with ScriptedGateway(answer()) as server:
        assert client(server.base_url).create(BODY, "key-1").task_id == "vid_1"


def test_a_netrc_entry_does_not_replace_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\ndefault login any password one\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedGateway(answer()) as server:
        session = open_session("https://gateway.apimall.ai")
        assert requests.utils.get_netrc_auth(server.base_url) == ("someone", "else")
        Gateway(server.base_url, KEY, session=lambda: session, timeouts=QUICK).create(BODY, "key-1")
        assert server.head()["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Temporary", "308 Permanent"])
def test_the_key_does_not_follow_a_redirect(status: str) -> None:
    with (
        ScriptedGateway(answer()) as elsewhere,
        ScriptedGateway(answer(b"", status, f"Location: {elsewhere.base_url}/x")) as server,
    ):
        for ask in (lambda: client(server.base_url).create(BODY, "k"), lambda: client(server.base_url).query("vid_1")):
            with pytest.raises(Unreadable):
                ask()
        assert elsewhere.requests == []
        assert len(server.requests) == 2


def test_cookies_are_neither_kept_nor_sent() -> None:
    with ScriptedGateway(answer(OK, "200 OK", "Set-Cookie: a=b; Path=/")) as server:
        gateway = client(server.base_url)
        gateway.query("vid_1")
        gateway.query("vid_1")
        assert "cookie" not in server.head(1)


def test_nothing_is_repeated_by_itself() -> None:
    with ScriptedGateway(b"") as server:
        with pytest.raises(ReplyLost):
            client(server.base_url).create(BODY, "key-1")
        assert len(server.requests) == 1


ECHOES = [
    answer(
        b'{"success":false,"error":{"message":"bad key %s","code":"%s"},"request_id":"%s"}' % ((KEY.encode(),) * 3),
        "400 x",
    ),
    answer(b'{"success":false,"error":{"message":"%s %s"}}' % (b"x" * 590, KEY.encode()), "400 x"),
    answer(b'{"success":false,"error":"Bearer \\u0073k-canary-5f1e9a7c"}', "401 x"),
    answer(b'{"success":false,"data":{"task_id":"%s"},"error":{}}' % KEY.encode(), "409 x"),
    answer(b"HTTP for " + KEY.encode(), "502 x"),
    b"HTTP/1.1 " + KEY.encode() + b"\r\n\r\n",
]


@pytest.mark.parametrize("reply", ECHOES)
def test_the_key_is_in_no_message_even_if_the_gateway_echoes_it(reply: bytes) -> None:
    failure = failure_of(reply)
    told = "".join(traceback.format_exception(failure)) + repr(vars(failure))
    assert KEY not in told
    assert KEY[:12] not in told.split("Traceback")[0]
    assert failure.__cause__ is None
    assert failure.__context__ is None


def test_the_key_is_in_no_field_of_a_good_answer() -> None:
    data = b'{"task_id":"vid_1","status":"failed","error_message":"no %s","video_url":"https://x/?k=%s"}'
    with ScriptedGateway(answer(b'{"success":true,"data":' + data % (KEY.encode(), KEY.encode()) + b"}")) as server:
        task = client(server.base_url).query("vid_1")
    assert KEY not in repr(task)
    assert task.error_message == "no [key]"


def test_a_client_shows_its_address_but_not_its_key() -> None:
    assert KEY not in repr(client("https://gateway.apimall.ai"))


def test_failures_name_the_host_and_no_path_or_header() -> None:
    with pytest.raises(NotReached) as caught:
        client(f"http://127.0.0.1:{closed_port()}").query("vid_secret")
    assert "/api/" not in str(caught.value)
    assert "vid_secret" not in caught.value.what


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("9" * 50, 999_999_999.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0667", None),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("Fri, 99 Foo 2030 99:99:99 GMT", None),
        ("Fri, 31 Dec 99999999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_retry_after_reaches_the_failure() -> None:
    assert failure_of(answer(b"{}", "429 Slow", "Retry-After: 12")).retry_after_seconds == 12.0
    dated = failure_of(answer(b"{}", "503 Down", f"Retry-After: {formatdate(time.time() + 100, usegmt=True)}"))
    assert dated.retry_after_seconds is not None
    assert 50 < dated.retry_after_seconds <= 100


def test_balance_and_uploads_ask_the_documented_addresses() -> None:
    slot = b'{"data":{"upload_url":"https://r2/x","public_url":"https://cdn/x","content_type":"image/png"}}'
    with ScriptedGateway(
        answer(b'{"data":{"api_credits":5}}'), answer(slot), answer(b'{"data":{"url":"https://cdn/y"}}')
    ) as server:
        gateway = client(server.base_url)
        assert gateway.balance().credits == 5
        assert gateway.upload_address("a.png", "image/png", 9).public_url == "https://cdn/x"
        assert gateway.upload_base64("AAAA", "a.png", "image/png") == "https://cdn/y"
        assert [server.head(number)[""].rsplit(" ", 1)[0] for number in range(3)] == [
            "GET /api/v1/account/balances",
            "POST /api/v1/files/upload-url",
            "POST /api/v1/files/base64",
        ]
        assert server.body(1) == b'{"filename":"a.png","content_type":"image/png","file_size":9}'
