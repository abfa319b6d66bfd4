"""Every example workflow runs as it is in every ComfyUI, in rehearsal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host import examples
from tests.host.real_host import Install, RealHost

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def host(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHost]:
    base: Path = tmp_path_factory.mktemp("examples")
    with RealHost(install, base, environ={"APIMALL_REHEARSAL": "1"}) as started:
        examples.give_inputs(started)
        yield started


@pytest.mark.parametrize("name", examples.names())
def test_an_example_workflow_runs_as_it_is(host: RealHost, name: str) -> None:
    if missing := examples.missing(host, name):
        pytest.skip(f"this ComfyUI has no {', '.join(missing)}")
    history = host.run(examples.api_prompt(host, name))
    assert history["status"]["status_str"] == "success", history["status"]
    assert any(path.stat().st_size > 10_000 for path in examples.saved_files(host, history))


@pytest.mark.parametrize("name", examples.names())
def test_an_example_workflow_is_offered_as_a_template(host: RealHost, name: str) -> None:
    assert name in host.get("/workflow_templates")["apimall-video"]
