"""Two real ComfyUIs with folders of their own, one journal in PostgreSQL: one bill, whoever asks and whoever dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.rehearsal.server import RehearsalGateway
from tests.host.place import KEY, Clock, Node, save, text_to_video
from tests.host.real_host import NO_HOST, Install, RealHost, installs
from tests.support import harness, postgres

pytestmark = pytest.mark.host

NAMES = ("studio.one", "studio.two")


@dataclass
class Studio:
    """The machines, and the gateway that both talk to."""

    one: RealHost
    two: RealHost
    gateway: RehearsalGateway
    clock: Clock

    def paid(self) -> tuple[int, float]:
        """Creates that arrived, and the credits that were charged."""
        return self.gateway.record.count("create"), self.gateway.record.charges()


@pytest.fixture(scope="module")
def newest() -> Install:
    """The newest of the ComfyUIs here."""
    found = installs()
    if not found:
        pytest.skip(NO_HOST)
    return max(found, key=lambda install: tuple(map(int, install.version.split("."))))


@pytest.fixture(scope="module")
def driver(newest: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PostgreSQL's driver for the interpreter of that ComfyUI, beside its own packages."""
    return postgres.driver_for(newest.python, tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def studio(newest: Install, driver: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder, journal, clock = tmp_path_factory.mktemp("studio"), postgres.new_database(), Clock()
    with ExitStack() as running:
        gateway = running.enter_context(harness.rehearsal(folder / "gateway", seconds_per_task=0.2, clock=clock))
        machines = []
        for name in NAMES:
            # Both run on this machine; what the system calls it is told otherwise.
            (folder / name / "named").mkdir(parents=True)
            (folder / name / "named" / "sitecustomize.py").write_text(
                f"import platform\nplatform.node = lambda: {name!r}\n", encoding="utf-8"
            )
            environ = {
                "APIMALL_BASE_URL": gateway.base_url,
                "APIMALL_API_KEY": KEY,
                "APIMALL_JOURNAL": journal,
                "PYTHONPATH": os.pathsep.join((str(folder / name / "named"), str(driver))),
            }
            machines.append(running.enter_context(RealHost(newest, folder / name / "base", environ=environ)))
        one, two = machines
        yield Studio(one, two, gateway, clock)


def shot(prompt: str, node_id: str = "1") -> dict[str, Node]:
    """`node_id`: of its own where a test waits for what is said on the node."""
    return {node_id: text_to_video(prompt), "2": save(node_id)}


def is_saved(host: RealHost, prompt_id: str) -> bool:
    history = host.wait(prompt_id)
    assert history["status"]["status_str"] == "success", history["status"]
    (clip,) = history["outputs"]["2"]["images"]
    return (host.base / str(clip["type"]) / str(clip["subfolder"]) / str(clip["filename"])).is_file()


def machines_of(host: RealHost) -> dict[str, str | None]:
    """The jobs that its panel lists, with the name of the machine where that is another one."""
    return {job["prompt"]: job["machine"] for job in host.get("/apimall/jobs")["jobs"]}


def states_of(host: RealHost) -> dict[str, str]:
    """How far the jobs are that its panel lists."""
    return {job["prompt"]: job["state"] for job in host.get("/apimall/jobs")["jobs"]}


def test_a_job_that_both_ask_for_at_once_is_charged_once_and_both_have_the_clip(studio: Studio) -> None:
    creates, charged = studio.paid()
    studio.clock.stop()
    begun = [(host, host.queue(shot("asked of both"))) for host in (studio.one, studio.two)]
    for host, _ in begun:
        host.await_text("1", "task ")
    studio.clock.go_on()
    assert all(is_saved(host, prompt_id) for host, prompt_id in begun)
    assert studio.paid() == (creates + 1, charged + 30)


def test_the_panel_of_each_lists_the_jobs_of_both_and_names_the_other_machine(studio: Studio) -> None:
    for host, prompt in ((studio.one, "of the first"), (studio.two, "of the second")):
        assert is_saved(host, host.queue(shot(prompt)))
    assert machines_of(studio.one).items() >= {"of the first": None, "of the second": "studio.two"}.items()
    assert machines_of(studio.two).items() >= {"of the first": "studio.one", "of the second": None}.items()


def test_the_job_of_one_that_is_killed_is_gone_on_with_by_the_other_and_not_sent_again(studio: Studio) -> None:
    creates, charged = studio.paid()
    studio.clock.stop()
    studio.one.queue(shot("its machine dies", "3"))
    # Its answer is shown before it is written down, and what is not written would be sent again with its key.
    harness.eventually(lambda: states_of(studio.two).get("its machine dies") == "running", "it is written down")
    studio.one.kill()
    prompt_id = studio.two.queue(shot("its machine dies", "3"))
    studio.two.await_text("3", "task ")
    studio.clock.go_on()
    assert is_saved(studio.two, prompt_id)
    assert studio.paid() == (creates + 1, charged + 30)
    assert machines_of(studio.two)["its machine dies"] is None
