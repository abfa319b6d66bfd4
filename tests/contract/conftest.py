"""The same probes in every host: the stand-in, and each real ComfyUI that COMFYUI_PATH names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.host.real_host import REPOSITORY, Install, RealHost, installs


class Host(Protocol):
    """What the stand-in and the driver of a real ComfyUI have in common."""

    base: Path

    def run(self, prompt: dict[str, dict[str, Any]], *, client_id: str | None = "browser") -> dict[str, Any]: ...
    def queue(self, prompt: dict[str, dict[str, Any]], *, client_id: str | None = "browser") -> str: ...
    def wait(self, prompt_id: str) -> dict[str, Any]: ...
    def interrupt(self) -> None: ...
    def texts(self, client_id: str = "browser") -> list[tuple[str, str]]: ...
    def await_text(self, node_id: str, part: str) -> None: ...
    def sent(self, client_id: str = "browser") -> Sequence[tuple[str, Any]]: ...
    @property
    def log(self) -> str: ...


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" not in metafunc.fixturenames:
        return
    real = [pytest.param(install, id=install.version, marks=pytest.mark.host) for install in installs()]
    metafunc.parametrize("host", [pytest.param(None, id="stand-in"), *real], indirect=True, scope="module")


def probes(folder: Path) -> Path:
    """A node pack in `folder`: the probes, and our nodes/ beside them."""
    shutil.copytree(REPOSITORY / "nodes", folder / "nodes", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(Path(__file__).with_name("probe_pack.py"), folder / "__init__.py")
    return folder


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    install: Install | None = request.param
    folder = tmp_path_factory.mktemp("host")
    pack = probes(folder / "apimall-probes")
    if install is None:
        from standin_host import StandinHost
        from standin_nodes import CORE_NODES

        with StandinHost(folder / "base", CORE_NODES) as standin:
            standin.load_pack(pack)
            yield standin
    else:
        with RealHost(install, folder / "base", packs={"apimall-probes": pack}) as real:
            yield real
