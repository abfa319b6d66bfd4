"""Addresses that a user gives are looked at before anything is paid."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodes.gateway.errors import Charge, InputError
from nodes.guard.downloads import Glance, glance
from nodes.guard.errors import DownloadFailed, DownloadForbidden, LinkGone, NotPublic
from nodes.jobs.given_urls import GivenUrls
from nodes.jobs.order import Order
from nodes.rehearsal.server import RehearsalGateway
from nodes.stopping import Stopped, never_stop
from tests.support import harness

URL = "https://cdn.example.com/cat.png?signature=canary"
PNG = harness.tiny_picture()
MP4 = harness.tiny_clip()
PAGE = b"\n <!DOCTYPE html><title>Sign in</title>"
IMAGE, VIDEO = "image-to-video", "video-to-video"


class Site:
    """A web server that answers every address in one way, and counts how often it was asked."""

    def __init__(self, status: int = 200, content_type: str = "image/png", body: bytes = PNG) -> None:
        self.asked = 0
        self.hold = threading.Event()
        self.hold.set()
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked += 1
                site.hold.wait(30)
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def open_site() -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def open_(*args: object, **kwargs: object) -> Site:
        sites.append(Site(*args, **kwargs))  # type: ignore[arg-type]
        return sites[-1]

    yield open_
    for site in sites:
        site.close()


def urls_of(site: Site) -> GivenUrls:
    return GivenUrls(lambda url, stop: glance(f"{site.origin}/file", loopback_origin=site.origin, stop=stop))


def refusal(urls: GivenUrls, job_type: str = IMAGE) -> str | None:
    """What is said against the address; None if it may be paid for."""
    try:
        urls.require_file(URL, job_type, never_stop)
    except InputError as problem:
        assert problem.charge is Charge.NOT_SENT
        assert "canary" not in str(problem), "signatures are secrets"
        return str(problem)
    return None


@pytest.mark.parametrize(
    ("answer", "job_type", "words"),
    [
        ((200, "text/html; charset=utf-8", PAGE), IMAGE, "cdn.example.com answers text/html: a page, not a file"),
        ((200, "image/png", PAGE), IMAGE, "a page, not a file"),
        ((200, "text/html", PAGE), VIDEO, "a page, not a file"),
        ((200, "application/json", b'{"error": "login"}'), VIDEO, "answers application/json: a page, not a file"),
        ((404, "text/html", PAGE), IMAGE, "is not open to everybody: it answers 404"),
        ((403, "application/xml", b"<Error/>"), VIDEO, "it answers 403"),
        ((200, "video/mp4", MP4), IMAGE, "is a video, not a picture"),
        ((200, "image/png", PNG), VIDEO, "is a picture, not a video"),
    ],
)
def test_what_is_plainly_no_file_for_the_job_is_refused(
    answer: tuple[int, str, bytes], job_type: str, words: str, open_site: Callable[..., Site]
) -> None:
    said = refusal(urls_of(open_site(*answer)), job_type)
    assert said is not None and words in said and "no credits were spent" in said


@pytest.mark.parametrize(
    ("answer", "job_type"),
    [
        ((200, "image/png", PNG), IMAGE),
        ((200, "text/html", PNG), IMAGE),
        ((200, "application/octet-stream", b"\xff\xd8\xff\xe0 and so on"), IMAGE),
        ((200, "", b"a form that nobody here knows"), IMAGE),
        ((200, "video/mp4", MP4), VIDEO),
        ((200, "binary/octet-stream", b"\x1aE\xdf\xa3 and so on"), VIDEO),
        ((405, "text/html", PAGE), IMAGE),
        ((429, "text/html", PAGE), IMAGE),
        ((503, "text/html", PAGE), VIDEO),
    ],
)
def test_what_is_fine_or_may_be_meant_for_us_alone_is_left_to_the_gateway(
    answer: tuple[int, str, bytes], job_type: str, open_site: Callable[..., Site]
) -> None:
    assert refusal(urls_of(open_site(*answer)), job_type) is None


def test_a_server_that_says_nothing_holds_nobody_up_and_is_no_refusal(open_site: Callable[..., Site]) -> None:
    site = open_site()
    site.hold.clear()
    look = GivenUrls(
        lambda url, stop: glance(f"{site.origin}/file", loopback_origin=site.origin, stop=stop, deadline_seconds=0.2)
    )
    assert refusal(look) is None and site.asked == 1


@pytest.mark.parametrize(
    "problem", [DownloadFailed("no network"), DownloadForbidden("a port"), LinkGone("x", status=406)]
)
def test_what_could_not_be_asked_is_no_refusal(problem: Exception) -> None:
    def look(url: str, stop: object) -> Glance:
        raise problem

    assert refusal(GivenUrls(look)) is None


@pytest.mark.parametrize("url", ["https://192.168.1.5/a.png", "https://nas.local/a.png", "https://[fe80::1]/a.png"])
def test_an_address_in_a_local_network_is_refused_without_a_request(url: str) -> None:
    with pytest.raises(NotPublic):
        glance(url)
    with pytest.raises(InputError, match="lies in a local network, where the gateway cannot fetch it"):
        GivenUrls(lambda url, stop: glance(url)).require_file(url, IMAGE, never_stop)


def test_nodes_that_name_one_address_ask_it_once(open_site: Callable[..., Site]) -> None:
    site = open_site()
    site.hold.clear()
    urls = urls_of(site)
    threads = [threading.Thread(target=refusal, args=(urls,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    harness.eventually(lambda: site.asked, "the first one asks")
    site.hold.set()
    for thread in threads:
        thread.join(harness.PATIENCE_SECONDS)
    assert site.asked == 1


def test_what_was_refused_is_soon_asked_anew() -> None:
    now = [0.0]
    answers = [LinkGone("not yet", status=404), None]

    def look(url: str, stop: object) -> Glance:
        problem = answers.pop(0)
        if problem is not None:
            raise problem
        return Glance("image/png", PNG)

    urls = GivenUrls(look, lambda: now[0])
    assert refusal(urls) is not None and refusal(urls) is not None, "still the first answer"
    now[0] = 11.0
    assert refusal(urls) is None


def image_job(url: str, take: int = 0) -> Order:
    return Order("wan2-6", IMAGE, "it moves", "5", "720p", take, (url,))


def test_a_page_is_refused_before_the_job_is_sent_and_another_order_is_not_held_up(
    gateway: RehearsalGateway, tmp_path: Path
) -> None:
    looked: list[str] = []

    def look(url: str, stop: object) -> Glance:
        looked.append(url)
        return Glance("text/html", PAGE) if "page" in url else Glance("image/png", PNG)

    with harness.bench(tmp_path / "user", gateway.base_url, harness.Wiring(look=look)) as bench:
        with pytest.raises(InputError, match="a page, not a file"):
            bench.make(image_job("https://cdn.example.com/page")).result()
        assert gateway.record.count() == 0, "nothing was sent"
        bench.make(image_job("https://cdn.example.com/cat.png")).result()
        bench.make(image_job("https://cdn.example.com/cat.png")).result()
        assert len(gateway.record.posts) == 1
    assert looked == ["https://cdn.example.com/page", "https://cdn.example.com/cat.png"], "a paid job asks nobody"


def test_whoever_leaves_during_the_look_has_paid_nothing(gateway: RehearsalGateway, tmp_path: Path) -> None:
    asked = threading.Event()

    def look(url: str, stop: Callable[[], bool]) -> Glance:
        asked.set()
        harness.eventually(stop, "the look is called off")
        raise Stopped

    with harness.bench(tmp_path / "user", gateway.base_url, harness.Wiring(look=look)) as bench:
        ticket = bench.runner.submit(image_job("https://cdn.example.com/cat.png"))
        assert asked.wait(harness.PATIENCE_SECONDS)
        ticket.leave("the user stopped the wait")
        harness.ended(ticket)
    assert gateway.record.count() == 0
