"""Where a clip lies is told by the disk: results folders that go away, come back, or are two on one journal."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodes.files import sha256_of
from nodes.gateway.errors import NotDownloaded
from nodes.guard.downloads import Downloaded, download
from nodes.jobs.events import Event
from nodes.jobs.results import FOLDER_FILE
from nodes.journal.rows import State
from nodes.rehearsal.server import RehearsalGateway
from tests.support import harness


def test_a_results_folder_that_was_away_for_one_queueing_serves_its_clip_when_it_is_back(
    gateway: RehearsalGateway, user: Path
) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        first = bench.make(harness.text_order()).result()
        (user / "results").rename(user / "unplugged")
        gateway.always("download", "expired")
        with pytest.raises(NotDownloaded, match=r"[^.]\. It was brought to .*results on ") as told:
            bench.make(harness.text_order()).result()
        assert ".." not in str(told.value).replace(str(user), "")
        for path in (user / "results").glob("*"):
            path.unlink()
        (user / "results").rmdir()
        (user / "unplugged").rename(user / "results")
        requests = gateway.record.count()
        again = bench.make(harness.text_order()).result()
        assert (again.path, again.downloaded) == (first.path, False)
    assert gateway.record.count() == requests
    assert len(gateway.record.posts) == 1


def test_a_results_folder_whose_name_was_never_written_is_given_one(gateway: RehearsalGateway, user: Path) -> None:
    (user / "results").mkdir(parents=True)
    (user / "results" / FOLDER_FILE).touch()
    with harness.bench(user, gateway.base_url) as bench:
        bench.make(harness.text_order()).result()
        [delivery] = bench.journal.deliveries(bench.journal.get(1))
        assert delivery.folder == (user / "results" / FOLDER_FILE).read_text()
        assert len(delivery.folder) == 32


def test_two_results_folders_on_one_journal_do_not_take_each_others_clips_away(
    gateway: RehearsalGateway, user: Path
) -> None:
    ours, theirs = harness.Wiring(results="ours"), harness.Wiring(results="theirs")
    with harness.bench(user, gateway.base_url, ours) as one, harness.bench(user, gateway.base_url, theirs) as other:
        first = one.make(harness.text_order()).result()
        second = other.make(harness.text_order()).result()
        assert (first.path.parent.name, second.path.parent.name) == ("ours", "theirs")
        assert second.downloaded, "what is not on this disk is downloaded again, free"
        requests = gateway.record.count()
        for bench, path in ((one, first.path), (other, second.path), (one, first.path)):
            again = bench.make(harness.text_order()).result()
            assert (again.path, again.downloaded) == (path, False)
        assert len({delivery.folder for delivery in one.journal.deliveries(one.journal.get(1))}) == 2
        assert one.journal.get(1).state is State.COMPLETED
    assert gateway.record.count() == requests
    assert len(gateway.record.posts) == 1


def test_a_clip_that_was_renamed_before_anybody_could_write_so_is_served_from_disk(
    gateway: RehearsalGateway, user: Path
) -> None:
    class Cut(Exception):
        """The journal goes away between the rename and the row."""

    def observe(event: Event, job: object) -> None:
        if event is Event.RENAMED:
            raise Cut

    with harness.bench(user, gateway.base_url, harness.Wiring(observe=observe)) as bench:
        harness.ended(bench.runner.submit(harness.text_order()))
        assert bench.journal.deliveries(bench.journal.get(1)) == []
    requests = gateway.record.count()
    with harness.bench(user, gateway.base_url) as later:
        result = later.make(harness.text_order()).result()
        assert not result.downloaded
        [delivery] = later.journal.deliveries(result.job)
        assert delivery.file == result.path.name
    assert gateway.record.count() == requests


def test_rubbish_under_the_name_of_a_clip_is_not_served(gateway: RehearsalGateway, user: Path) -> None:
    def observe(event: Event, job: object) -> None:
        if event is Event.RENAMED:
            [clip] = (user / "results").glob("*.mp4")
            clip.write_bytes(b"rubbish")
            raise RuntimeError

    with harness.bench(user, gateway.base_url, harness.Wiring(observe=observe)) as bench:
        harness.ended(bench.runner.submit(harness.text_order()))
    with harness.bench(user, gateway.base_url) as later:
        result = later.make(harness.text_order()).result()
        assert result.downloaded
        assert result.path.read_bytes().startswith(harness.tiny_clip())
    assert len(gateway.record.posts) == 1


def test_a_clip_on_this_disk_is_served_even_when_the_journal_takes_no_more(
    gateway: RehearsalGateway, user: Path
) -> None:
    with harness.bench(user, gateway.base_url) as bench:
        first = bench.make(harness.text_order()).result()
        first.path.touch()
        harness.pragma(bench.journal, "query_only = 1")
        assert bench.make(harness.text_order()).result().path == first.path


def test_two_comfyuis_that_fetch_the_same_task_into_one_folder_at_once_both_get_all_of_it(
    gateway: RehearsalGateway, user: Path
) -> None:
    both_have_begun = threading.Barrier(2, timeout=harness.PATIENCE_SECONDS)

    def at_once(url: str, part: Path, **named: Any) -> Downloaded:
        def tell(fraction: float) -> None:
            if first.pop("piece", None):
                both_have_begun.wait()

        first = {"piece": True}
        return download(url, part, **(named | {"tell": tell}))

    with harness.bench(user, gateway.base_url, harness.Wiring(results="theirs")) as maker:
        made = maker.make(harness.text_order()).result()
    one, other = (
        harness.Wiring(place=user / f"{name}.sqlite3", results="shared", download=at_once) for name in ("one", "other")
    )
    with harness.bench(user, gateway.base_url, one) as here, harness.bench(user, gateway.base_url, other) as there:
        tickets = [bench.runner.collect(made.task_id) for bench in (here, there)]
        for bench, ticket in zip((here, there), tickets, strict=True):
            assert ticket is not None
            result = harness.ended(ticket).result()
            assert result.path.read_bytes() == made.path.read_bytes()
            assert [each.size_bytes for each in bench.journal.deliveries(result.job)] == [made.path.stat().st_size]
    assert [path for path in (user / "shared").iterdir() if ".part" in path.name] == []


@pytest.mark.parametrize("fate", ["cut short", "written over", "taken away"])
def test_what_came_down_and_was_changed_before_it_got_its_name_is_fetched_again(
    gateway: RehearsalGateway, user: Path, fate: str
) -> None:
    spoilt: list[Path] = []

    def meddled(url: str, part: Path, **named: Any) -> Downloaded:
        downloaded = download(url, part, **named)
        if not spoilt:
            spoilt.append(part)
            content = part.read_bytes()
            part.write_bytes(content[:-1] if fate == "cut short" else content[:-1] + b"?")
            if fate == "taken away":
                part.unlink()
        return downloaded

    with harness.bench(user, gateway.base_url, harness.Wiring(download=meddled)) as bench:
        result = bench.make(harness.text_order()).result()
        assert spoilt
        assert gateway.record.count("download") == 2
        [delivery] = bench.journal.deliveries(result.job)
        assert (delivery.size_bytes, delivery.sha256) == (result.path.stat().st_size, sha256_of(result.path))


def test_a_clip_whose_rest_came_from_another_file_is_fetched_anew(gateway: RehearsalGateway, user: Path) -> None:
    """Whatever headers said: what was continued is decoded to its end."""
    asked: list[bool] = []

    def stitched(url: str, part: Path, **named: Any) -> Downloaded:
        downloaded = download(url, part, **named)
        asked.append(downloaded.is_continued)
        if not downloaded.is_continued:
            return downloaded
        content, end = part.read_bytes(), len(harness.tiny_clip())
        part.write_bytes(content[: end - 8] + bytes(8) + content[end:])
        return replace(downloaded, sha256=sha256_of(part))

    gateway.script("download", "cut", "cut")
    with harness.bench(user, gateway.base_url, harness.Wiring(download=stitched)) as bench:
        result = bench.make(harness.text_order()).result()
    assert asked == [True, True, False], "what each of its two addresses had given is not continued once more"
    assert result.path.read_bytes().startswith(harness.tiny_clip())
