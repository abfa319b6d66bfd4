"""The one-time code: who may have it printed, what it lets a browser on another machine do, and how soon it is gone."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from nodes.panel import codes
from nodes.panel.codes import CODE_SECONDS, MOST_TRIES, OneTimeCode, WrongCode
from tests.support.panel import Client, Clock, Site

KEY = "sk-entered-elsewhere-1234"
ELSEWHERE = "192.0.2.7"
HTTPS = {"Origin": "https://pod-8188.proxy.example", "Host": "pod-8188.proxy.example"}
LAN = {"Origin": "http://192.168.1.7:8188", "Host": "192.168.1.7:8188"}
KNOWN = {"X-APIMall-Plain-HTTP": "known"}


class Printer:
    """A code on a clock of its own, and what it has printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.clock = Clock(1000.0)
        self.code = OneTimeCode(self.lines.append, self.clock)

    def ask(self) -> str:
        """Have one printed, and read it."""
        self.code.ask()
        return letters_in(self.lines)

    def takes(self, letters: str) -> bool:
        try:
            with self.code.used(letters):
                return True
        except WrongCode:
            return False


def letters_in(lines: list[str]) -> str:
    found = re.findall(r"\b([A-Z]{4}-[A-Z]{4})\b", lines[-1])
    assert len(found) == 1, lines
    return str(found[0])


@pytest.fixture
def printer() -> Printer:
    return Printer()


def test_a_code_is_eight_letters_that_are_new_each_time() -> None:
    seen = {Printer().ask() for _ in range(200)}
    assert len(seen) == 200
    assert all(re.fullmatch(r"[A-HJ-NP-Z]{4}-[A-HJ-NP-Z]{4}", letters) for letters in seen)


@pytest.mark.parametrize("typed", ["{0}", "{1}", " {0} ", "{2}"])
def test_a_code_is_taken_however_it_is_typed_once(printer: Printer, typed: str) -> None:
    letters = printer.ask()
    given = typed.format(letters, letters.replace("-", ""), letters.lower())
    assert printer.takes(given)
    assert not printer.takes(given)


def test_a_code_is_good_for_ten_minutes(printer: Printer) -> None:
    letters = printer.ask()
    printer.clock.now += CODE_SECONDS
    assert not printer.takes(letters)
    letters = printer.ask()
    printer.clock.now += CODE_SECONDS - 1
    assert printer.takes(letters)
    assert CODE_SECONDS == 600


def test_a_code_is_gone_after_five_wrong_tries(printer: Printer) -> None:
    letters = printer.ask()
    for _ in range(MOST_TRIES - 1):
        assert not printer.takes("AAAA-AAAA")
    assert printer.takes(letters), "the fifth try may be the right one"
    printer.clock.now += 60
    letters = printer.ask()
    for wrong in ("", "x", "A" * 10_000, "\u0410BCD-EFGH", "AAAA-AAAA"):
        assert not printer.takes(wrong)
    assert not printer.takes(letters)
    assert MOST_TRIES == 5


def test_no_code_lets_nobody_in(printer: Printer) -> None:
    assert not printer.takes("")
    assert not printer.takes("AAAA-AAAA")


def test_asking_again_prints_nothing_while_a_code_is_good(printer: Printer) -> None:
    letters = printer.ask()
    printer.clock.now += 100
    assert printer.code.ask() == CODE_SECONDS - 100
    assert len(printer.lines) == 1
    assert printer.takes(letters)


def test_the_log_cannot_be_filled_by_asking(printer: Printer) -> None:
    for _ in range(20):
        try:
            printer.ask()
        except WrongCode:
            continue
        for _ in range(MOST_TRIES):
            printer.takes("AAAA-AAAA")
    assert len(printer.lines) == 1
    printer.clock.now += 60
    printer.ask()
    assert len(printer.lines) == 2


def test_a_code_shown_for_something_that_failed_is_good_again(printer: Printer) -> None:
    letters = printer.ask()
    with pytest.raises(RuntimeError), printer.code.used(letters):
        raise RuntimeError("the key was none")
    assert printer.takes(letters)


def test_a_code_is_printed_where_comfyui_runs_and_not_into_the_log_it_hands_to_browsers(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handed:
        """ComfyUI puts such a thing over the streams, and serves what was written."""

        def write(self, text: str) -> None:
            raise AssertionError(f"every browser can read this: {text}")

    monkeypatch.setattr("sys.stderr", Handed())
    monkeypatch.setattr("sys.stdout", Handed())
    with caplog.at_level(logging.DEBUG):
        OneTimeCode().ask()
    monkeypatch.undo()
    assert letters_in(capfd.readouterr().err.splitlines())
    assert caplog.text == ""


def test_without_any_output_the_log_has_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.__stderr__", None)
    codes.show_where_comfyui_runs("AAAA-BBBB")
    assert "AAAA-BBBB" in caplog.text


# Over HTTP, from another machine


@pytest.fixture
def away(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The panel in a browser on another machine; no key is set yet."""
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", ELSEWHERE)
    del site.environ["APIMALL_API_KEY"]
    return site


def said(site: Site, path: str, body: object, **headers: str | None) -> tuple[int, dict[str, Any]]:
    async def ask(client: Client) -> tuple[int, dict[str, Any]]:
        given = {"Content-Type": "application/json", **headers}
        sent = {name: value for name, value in given.items() if value is not None}
        async with client.post(path, data=json.dumps(body), headers=sent) as reply:
            return reply.status, await reply.json()

    return site.talk(ask)


def printed(site: Site, **headers: str) -> dict[str, str]:
    """The header that shows the code, after it was asked for and read."""
    status, answer = said(site, "/apimall/code", {}, **headers)
    assert status == 200
    letters = letters_in(site.printed)
    assert letters not in json.dumps(answer)
    return {"X-APIMall-Code": letters}


def key_of(site: Site) -> str | None:
    return site.service.settings().api_key


@pytest.mark.parametrize("here", [HTTPS, {**LAN, **KNOWN}], ids=["https", "http, known"])
def test_with_the_code_a_browser_elsewhere_sets_the_key_once(away: Site, here: dict[str, str]) -> None:
    shown = printed(away, **here)
    status, answer = said(away, "/apimall/key", {"key": KEY}, **here, **shown)
    assert (status, answer["key_source"], answer["writable"]) == (200, "file", False)
    assert KEY not in json.dumps(answer)
    assert key_of(away) == KEY
    assert said(away, "/apimall/rehearsal", {"on": True}, **here, **shown)[0] == 403


def test_with_the_code_a_browser_elsewhere_sets_the_rehearsal(away: Site) -> None:
    status, answer = said(away, "/apimall/rehearsal", {"on": True}, **HTTPS, **printed(away, **HTTPS))
    assert (status, answer["rehearsal"]) == (200, True)


def test_over_plain_http_nothing_is_taken_before_the_user_says_i_know(away: Site) -> None:
    shown = printed(away, **LAN)
    status, answer = said(away, "/apimall/key", {"key": KEY}, **LAN, **shown)
    assert status == 403
    assert "plain http" in answer["problem"]
    for word in ("", "true", "1"):
        assert said(away, "/apimall/key", {"key": KEY}, **LAN, **shown, **{"X-APIMall-Plain-HTTP": word})[0] == 403
    assert key_of(away) is None
    assert said(away, "/apimall/key", {"key": KEY}, **LAN, **shown, **KNOWN)[0] == 200, "no try was lost"


def test_without_the_code_a_browser_elsewhere_is_told_of_it(away: Site) -> None:
    status, answer = said(away, "/apimall/key", {"key": KEY}, **HTTPS)
    assert status == 403
    assert "one-time code" in answer["problem"]


def test_five_wrong_codes_and_the_right_one_is_not_taken(away: Site) -> None:
    shown = printed(away, **HTTPS)
    for left in (4, 3, 2, 1, 0):
        status, answer = said(away, "/apimall/key", {"key": KEY}, **HTTPS, **{"X-APIMall-Code": "AAAA-AAAA"})
        assert status == 403
        assert f"{left} tries left" in answer["problem"] or not left
    assert said(away, "/apimall/key", {"key": KEY}, **HTTPS, **shown)[0] == 403
    assert key_of(away) is None


def test_a_key_that_is_none_does_not_cost_the_code(away: Site) -> None:
    shown = printed(away, **HTTPS)
    assert said(away, "/apimall/key", {"key": "two words"}, **HTTPS, **shown)[0] == 409
    assert said(away, "/apimall/key", {"key": KEY, "url": "x"}, **HTTPS, **shown)[0] == 400
    assert said(away, "/apimall/key", {"key": KEY}, **HTTPS, **shown)[0] == 200


STRANGERS: dict[str, dict[str, str | None]] = {
    "no origin": {**HTTPS, "Origin": None},
    "another site": {**HTTPS, "Origin": "https://evil.example"},
    "a file": {**HTTPS, "Origin": "null"},
    "another port": {**HTTPS, "Origin": "https://pod-8188.proxy.example:8443"},
    "another scheme": {**HTTPS, "Origin": "ftp://pod-8188.proxy.example"},
    "a cross-site fetch": {**HTTPS, "Sec-Fetch-Site": "cross-site"},
    "a same-site fetch": {**HTTPS, "Sec-Fetch-Site": "same-site"},
    "a form": {**HTTPS, "Content-Type": "text/plain"},
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_the_page_of_another_site_gets_nothing_printed_and_costs_no_try(away: Site, stranger: str) -> None:
    assert said(away, "/apimall/code", {}, **STRANGERS[stranger])[0] in (403, 415)
    assert away.printed == []
    shown = printed(away, **HTTPS)
    for _ in range(MOST_TRIES + 1):
        wrong = {**STRANGERS[stranger], "X-APIMall-Code": "AAAA-AAAA"}
        assert said(away, "/apimall/key", {"key": KEY}, **wrong)[0] in (403, 415)
    assert said(away, "/apimall/key", {"key": KEY}, **STRANGERS[stranger], **shown)[0] in (403, 415)
    assert key_of(away) is None
    assert said(away, "/apimall/key", {"key": KEY}, **HTTPS, **shown)[0] == 200


def test_behind_a_proxy_the_name_that_the_browser_asked_for_counts(away: Site) -> None:
    behind = {"Origin": HTTPS["Origin"], "Host": "10.0.0.5:8188", "X-Forwarded-Host": HTTPS["Host"]}
    assert said(away, "/apimall/key", {"key": KEY}, **behind, **printed(away, **behind))[0] == 200


def test_the_code_opens_nothing_but_key_and_rehearsal(away: Site) -> None:
    away.delivered()
    shown = printed(away, **HTTPS)
    for path in ("/apimall/jobs", "/apimall/account"):
        assert away.get(path)
    assert said(away, "/apimall/code", {"key": KEY}, **HTTPS, **shown)[0] == 400
    assert key_of(away) is None


def test_a_page_is_told_before_anything_is_typed_whether_it_may_write(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(**headers: str) -> Any:
        async def ask(client: Client) -> Any:
            async with client.get("/apimall/account", headers=headers) as reply:
                return (await reply.json())["writable"]

        return site.talk(ask)

    assert told() is True
    assert told(**{"X-Forwarded-For": "203.0.113.9"}) is False
    assert told(Host="192.168.1.7:8188") is False
    monkeypatch.setattr("aiohttp.web.BaseRequest.remote", "172.17.0.1")
    assert told() is False, "a container, asked by the machine it runs on"
    site.environ["APIMALL_MAX_JOBS"] = "many"
    assert told() is False, "also where the settings are wrong"
