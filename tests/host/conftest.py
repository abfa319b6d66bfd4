"""Real ComfyUIs for the tests of this folder, and for any other that asks for `install` or `start_host`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.host.place import Place, open_place
from tests.host.real_host import NO_HOST, Install, RealHost, installs

StartHost = Callable[..., RealHost]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "install" not in metafunc.fixturenames:
        return
    found = [pytest.param(install, id=install.version) for install in installs()]
    none = pytest.param(None, id="none", marks=pytest.mark.skip(reason=NO_HOST))
    metafunc.parametrize("install", found or [none], scope="module")


@pytest.fixture
def start_host(install: Install, tmp_path: Path) -> Iterator[StartHost]:
    """Starts the ComfyUI under test on folders of its own; `RealHost`'s keywords. Stopped when the test ends."""
    with ExitStack() as running:

        def start(base: Path | None = None, **keywords: object) -> RealHost:
            return running.enter_context(RealHost(install, base or tmp_path / "base", **keywords))  # type: ignore[arg-type]

        yield start


@pytest.fixture(scope="module")
def place(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_place(install, tmp_path_factory.mktemp("nodes")) as opened:
        yield opened
