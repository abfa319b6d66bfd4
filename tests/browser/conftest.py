"""A browser for all tests of this folder, and tabs on each real ComfyUI in each of its renderers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.host.real_host import NO_HOST, Install, RealHost, installs

# Where Playwright is not installed these tests are skipped with a word, so nothing here needs it before they run.
if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.tab import Tab

    OpenTab = Callable[..., Tab]


def with_pages(environ: Mapping[str, str] = os.environ) -> list[Install]:
    """Each ComfyUI with its own page, and the newer ones with each page that COMFYUI_FRONT_ENDS names as well."""
    pages = [Path(entry) for entry in environ.get("COMFYUI_FRONT_ENDS", "").split(os.pathsep) if entry]
    found = installs(environ)
    newer = [install for install in found if not install.version.startswith("0.3.")]
    return [*found, *(replace(install, front_end=page) for install in newer for page in pages)]


def name_of(install: Install) -> str:
    page = re.search(r"\d+\.\d+\.\d+", str(install.front_end))
    return f"{install.version}-page-{page.group(0)}" if page else install.version


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "install" in metafunc.fixturenames:
        found = [pytest.param(install, id=name_of(install)) for install in with_pages()]
        none = pytest.param(None, id="none", marks=pytest.mark.skip(reason=NO_HOST))
        metafunc.parametrize("install", found or [none], scope="session")
    if "vue" in metafunc.fixturenames:
        metafunc.parametrize("vue", [pytest.param(False, id="canvas"), pytest.param(True, id="vue")])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    from tests.browser.tab import NO_BROWSER, browser, browser_path

    if browser_path() is None:
        pytest.skip(NO_BROWSER)
    with browser() as running:
        yield running


@pytest.fixture(scope="session")
def host(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealHost]:
    """A ComfyUI in rehearsal, shared by all tests of one page: pytest runs those one after the other."""
    with RealHost(install, tmp_path_factory.mktemp("host"), environ={"APIMALL_REHEARSAL": "1"}) as running:
        yield running


@pytest.fixture
def open_tab(chromium: Browser) -> Iterator[OpenTab]:
    """Opens tabs; at the end none of them may have complained about us."""
    from tests.browser.tab import Tab

    tabs: list[Tab] = []

    def open_one(host: RealHost, *, vue: bool = False, **settings: Any) -> Tab:
        tab = Tab(chromium, host.url, {"Comfy.VueNodes.Enabled": vue, **settings})
        tab.clear()
        tabs.append(tab)
        return tab

    yield open_one
    complaints = [complaint for tab in tabs for complaint in tab.heard.complaints]
    for tab in tabs:
        tab.close()
    assert complaints == []


@pytest.fixture
def shots(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where pictures go: APIMALL_SHOTS, or nowhere that lasts."""
    return Path(SHOTS) / request.node.callspec.id if SHOTS else tmp_path


# Read before the fixture that clears our variables for each test.
SHOTS = os.environ.get("APIMALL_SHOTS", "")
