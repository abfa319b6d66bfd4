"""How smoothly the panel scrolls through 1,000 jobs, on a machine that does nothing else.

PYTHONPATH=tests/standin python -m tests.browser.smoothness
with COMFYUI_PATH naming a ComfyUI; COMFYUI_FRONT_ENDS: pages in place of its own
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser

from nodes.media.encode import encode_clip
from tests.browser.conftest import name_of, with_pages
from tests.browser.tab import JOB_MS, Tab, browser
from tests.host.real_host import Install, RealHost
from tests.support.panel import Site

_JOBS, _FRAMES, _FRAME_PX, _SKIPPED = 1000, 600, 120, 2
_SCROLL = """([frames, pixels]) => {
    const root = [...document.querySelectorAll('*')].find(each => each.shadowRoot?.querySelector('.scroll')).shadowRoot;
    const list = root.querySelector('.scroll');
    list.scrollTo(0, 0);
    return new Promise(resolve => {
        const times = [];
        const step = now => {
            times.push(now);
            list.scrollBy(0, pixels);
            if (times.length > frames) resolve(times);
            else requestAnimationFrame(step);
        };
        requestAnimationFrame(step);
    });
}"""


def frame_times(install: Install, chromium: Browser, base: Path) -> list[float]:
    """Milliseconds between the pictures of the page while all jobs are scrolled through."""
    environ = {"APIMALL_REHEARSAL": "1", "APIMALL_STATE_DIR": str(base / "state")}
    site = Site(base)
    site.environ.update(environ)
    site.fill(_JOBS)
    (clip,) = (base / "output" / "apimall").iterdir()
    encode_clip([np.full((90, 160, 3), level, np.float32) for level in np.linspace(0, 1, 24)], 24, clip)
    site.close()
    with RealHost(install, base, environ=environ) as host:
        tab = Tab(chromium, host.url, {})
        tab.clear()
        cards = tab.panel.locator("li.job")

        def is_at_the_end() -> bool:
            tab.panel.locator(".scroll").evaluate("list => list.scrollTo(0, list.scrollHeight)")
            return cards.count() > _JOBS

        tab.wait_until(is_at_the_end, JOB_MS)
        times: list[float] = tab.run(_SCROLL, [_FRAMES, _FRAME_PX])
        tab.close()
    return list(np.diff(times[_SKIPPED:]))


def main() -> None:
    with browser() as chromium:
        for install in with_pages():
            with tempfile.TemporaryDirectory() as folder:
                times = frame_times(install, chromium, Path(folder))
            middle, late = np.percentile(times, [50, 95])
            load = os.getloadavg()[0]
            told = f"{name_of(install)}: median {middle:.1f} ms, 95 % within {late:.1f} ms, {1000 / middle:.0f} fps"
            sys.stdout.write(f"{told}, {len(times)} frames, load {load:.1f}\n")


if __name__ == "__main__":
    main()
