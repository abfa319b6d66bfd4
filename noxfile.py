"""What a developer or CI runs; each session installs what it needs.

nox -s tests        every test that needs neither a real ComfyUI nor a browser
nox -s versions     demo and tests on each Python here, newest and oldest dependencies, each PyAV; takes a while
nox -s lint         ruff, mypy in strict mode; for web/js tsc and biome (needs npm)
nox -s comfyui      the tests through each real ComfyUI named by COMFYUI_PATH (several: os.pathsep between them)
nox -s radar        what of all we lean on holds in each ComfyUI and front end, as a table; `-- hosts`: no browser
nox -s browser      the web half in the system's Chromium, on each ComfyUI named by COMFYUI_PATH
nox -s soak         the long matrices whole, then 1,000 rehearsal jobs with faults and kills; takes a while
nox -s fleet        a journal in a database: the matrices whole, then three machines and 1,000 jobs; takes a while
nox -s screenshots  templates' thumbnails and docs/images, from the first ComfyUI of COMFYUI_PATH
nox -s bench        ours beside each ComfyUI of COMFYUI_PATH, imageio, OpenCV, ffmpeg; writes docs/benchmarks.md
nox -s real         every clip of a folder (`-- <folder>`) beside the ffmpeg program, picture by picture
nox -s demo         prompt to MP4 on the rehearsal gateway: no key, no ComfyUI, no torch
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nox

nox.options.sessions = ["tests", "lint"]
nox.options.reuse_venv = "yes"

RUNTIME = ("-r", "requirements.txt")
TESTING = (*RUNTIME, "-r", "tests/requirements.txt")
PYTEST = ("python", "-m", "pytest", "-c", "tests/pytest.ini")
ELSEWHERE = "not host and not browser and not bench and not soak"
# Most of these tests wait (for a reply, a process, a deadline): three at a time on however few cores. A file stays
# together, for what its tests share. A worker that dies ends the run: with a new one in its place it may wait for ever.
FAST = (*PYTEST, "-m", ELSEWHERE, "-n", "3", "--dist", "loadfile", "--max-worker-restart", "0")
# The node files are ComfyUI's guests and use its torch. Nothing else may: the other tests run where there is none.
TORCH_TESTS = ("tests/comfyui", "tests/contract", "tests/host", "tests/node_files", "tests/standin")
WITHOUT_TORCH = tuple(f"--ignore={folder}" for folder in TORCH_TESTS)
DEMO = ("python", "-m", "nodes.demo")
MATRICES = ("tests/faults", "tests/jobs")

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
# PyAV from the floor in requirements.txt to the newest, and the Pythons its makers built each for.
PYAVS = {
    "14.2": ("3.10", "3.11", "3.12", "3.13"),
    "16": ("3.10", "3.11", "3.12", "3.13", "3.14"),
    "17.1": ("3.10", "3.11", "3.12", "3.13", "3.14"),
    "18.1": ("3.11", "3.12", "3.13", "3.14"),
    "19.0": ("3.12", "3.13", "3.14"),
}


def _folders(*names: str) -> list[str]:
    return [name for name in names if Path(name).is_dir()]


@nox.session
def tests(session: nox.Session) -> None:
    """The tests of the node files and of the ComfyUI stand-in, with torch; then all others, without."""
    session.notify("tests_without_torch", session.posargs)
    session.install(*TESTING)
    if not (torch := _torch_at_hand(session)):
        session.skip(_NO_TORCH)
    session.install(torch)
    session.run(*FAST, *_folders(*TORCH_TESTS), *session.posargs)


_NO_TORCH = (
    "the tests of the node files were left out: there is no torch without CUDA for this Python. They run with "
    "PIP_EXTRA_INDEX_URL=<PyTorch's index of CPU builds>, or PIP_FIND_LINKS=<a folder with its wheel>"
)


def _torch_at_hand(session: nox.Session) -> str | None:
    """What to install, if pip sees the pinned torch for this Python and it needs no CUDA, gigabytes that no test uses.

    On macOS and Windows no release does. On Linux those do not that say so: asking for the dependencies of the others
    may already fetch half a gigabyte.
    """
    pinned = Path("tests/requirements-torch.txt").read_text("utf-8").strip()
    wanted = f"{pinned}+cpu" if sys.platform == "linux" else pinned
    asking = ("python", "-m", "pip", "index", "versions", "torch")
    seen = session.run(*asking, silent=True, success_codes=[0, 1])  # 1: none at all for this Python
    return wanted if wanted.removeprefix("torch==") in re.split(r"[\s,]+", str(seen)) else None


@nox.session
def tests_without_torch(session: nox.Session) -> None:
    """The tests of gateway, jobs, media and rehearsal, in an environment without torch."""
    session.install(*TESTING)
    session.run("python", "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)")
    session.run(*FAST, *WITHOUT_TORCH, "tests", *session.posargs)


def _pyenv_folders() -> Iterator[Path]:
    """Where pyenv keeps its Pythons. Its `python3.10` on PATH fails unless that version is switched on."""
    homes = {Path(folder).parent for folder in os.get_exec_path() if Path(folder).name == "shims"}
    homes |= {Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv"), Path(sys.base_prefix).parent.parent}
    for home in sorted(homes):
        yield from sorted(home.glob("versions/3.*/bin"))


# At the end of PATH, where nox looks for them and nobody else is misled.
os.environ["PATH"] = os.pathsep.join([*os.get_exec_path(), *map(str, _pyenv_folders())])


def _pythons_here() -> list[str]:
    """Of PYTHONS, those that nox will find."""
    here = {name for name in PYTHONS if shutil.which(f"python{name}")}
    here.add(f"{sys.version_info[0]}.{sys.version_info[1]}")
    if launcher := shutil.which("py"):
        told = subprocess.run([launcher, "--list"], capture_output=True, text=True, timeout=30, check=False)
        here |= set(re.findall(r"3\.\d+", told.stdout))
    return [name for name in PYTHONS if name in here]


def _oldest_promised() -> list[str]:
    return [line.replace(">=", "==") for line in Path("requirements.txt").read_text("utf-8").split()]


def _parts() -> Iterator[Any]:
    """Python, what is not to be the newest, tests to run (none: the demo and all). `ends`, for .ci/run, tags two."""
    here = _pythons_here()
    for name in PYTHONS:
        tags = ["ends"] if name in (here[:1] + here[-1:]) else []
        yield nox.param(name, [], [], id=f"{name} newest", tags=tags)
    oldest = (here or PYTHONS)[0]
    yield nox.param(oldest, _oldest_promised(), [], id=f"{oldest} oldest")
    for release, pythons in PYAVS.items():
        name = next((name for name in pythons if name in here), pythons[0])
        yield nox.param(name, [f"av=={release}.*"], ["tests/media"], id=f"{name} PyAV {release}")


@nox.session(reuse_venv=False)
@nox.parametrize("python,exactly,only", list(_parts()))
def versions(session: nox.Session, exactly: list[str], only: list[str]) -> None:
    """Each Python with the newest dependencies, one with the oldest, each PyAV. Tests after `--` in place of all."""
    session.install(*TESTING, *exactly)
    session.run("python", "-m", "pip", "freeze")
    if only:
        session.run(*FAST, *only)
        return
    session.run(*DEMO, str(Path(session.virtualenv.location).resolve() / "demo"))
    session.run(*FAST, *WITHOUT_TORCH, *(session.posargs or ["tests"]))
    if session.posargs:
        return
    if torch := _torch_at_hand(session):
        session.install(torch)
        session.run(*FAST, *_folders(*TORCH_TESTS))
    else:
        session.warn(_NO_TORCH)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, types; then what will be published, as the registry's and the community's tools see it."""
    session.install(*TESTING, "-r", "tests/requirements-lint.txt", "-r", "tests/requirements-browser.txt")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    _lint_archive(session)
    if shutil.which("npm") is None:
        session.warn("SKIPPED tsc, biome: there is no npm; web/js was not checked")
        return
    with session.chdir("tests/web"):
        session.run("npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund", external=True)
        session.run("npm", "run", "--silent", "types", external=True)
        session.run("npm", "run", "--silent", "lint", external=True)


def _lint_archive(session: nox.Session) -> None:
    """On a copy of what is shipped: tracked files without those of .comfyignore. Neither tool asks the network."""
    listed = str(session.run("git", "ls-files", external=True, silent=True)).splitlines()
    left_out = ("git", "ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore")
    ignored = set(str(session.run(*left_out, external=True, silent=True)).splitlines())
    archive = Path(session.create_tmp()).resolve() / "archive"
    shutil.rmtree(archive, ignore_errors=True)
    for name in listed:
        if name not in ignored and Path(name).is_file():
            (archive / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, archive / name)
    with session.chdir(archive):
        session.run("comfy", "--skip-prompt", "--no-enable-telemetry", "node", "validate")
        session.run("comfy-test", "lint", ".")


@nox.session
def comfyui(session: nox.Session) -> None:
    """The host tests, through each ComfyUI named by COMFYUI_PATH: interpreter in its .venv, or COMFYUI_PYTHON."""
    if not os.environ.get("COMFYUI_PATH"):
        session.skip("COMFYUI_PATH names no ComfyUI: nothing was tested against a real one")
    session.install(*TESTING)
    # A ComfyUI that starts or waits leaves a core idle: two files at a time.
    two = ("-n", "2", "--dist", "loadfile", "--max-worker-restart", "0")
    session.run(*PYTEST, "-m", "host", "-rs", *two, *_folders("tests/contract", "tests/host"), *session.posargs)


@nox.session
def radar(session: nox.Session) -> None:
    """A probe for every promise we lean on, in each ComfyUI of COMFYUI_PATH. `-- hosts`, `-- pages`: one half."""
    if not os.environ.get("COMFYUI_PATH"):
        session.skip("COMFYUI_PATH names no ComfyUI: nothing was looked at")
    session.install(*TESTING)
    if session.posargs != ["hosts"]:
        session.install("-r", "tests/requirements-browser.txt")
    session.run("python", "-m", "tests.radar", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """The browser tests, on each ComfyUI named by COMFYUI_PATH. APIMALL_SHOTS names a folder that keeps pictures."""
    if not os.environ.get("COMFYUI_PATH"):
        session.skip("COMFYUI_PATH names no ComfyUI: nothing was tested in a browser")
    session.install(*TESTING, "-r", "tests/requirements-browser.txt")
    session.run(*PYTEST, "-m", "browser", "-rs", "tests/browser", *session.posargs)


@nox.session
def screenshots(session: nox.Session) -> None:
    """The thumbnails beside the templates and the README's pictures, after rehearsal runs in a real ComfyUI."""
    if not os.environ.get("COMFYUI_PATH"):
        session.error("COMFYUI_PATH names no ComfyUI")
    session.install(*TESTING, "-r", "tests/requirements-browser.txt")
    session.run("python", "-m", "tests.browser.pictures", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """One job from prompt to MP4 on the rehearsal gateway. `-- --comfyui`: example_workflows/ through COMFYUI_PATH."""
    through_comfyui = "--comfyui" in session.posargs
    rest = [argument for argument in session.posargs if argument != "--comfyui"]
    if through_comfyui:
        if not os.environ.get("COMFYUI_PATH"):
            session.error("COMFYUI_PATH names no ComfyUI")
        session.install(*TESTING)
        session.run("python", "-m", "tests.host.run_examples", *rest)
    else:
        session.install(*RUNTIME)
        session.run(*DEMO, *rest)


@nox.session
def bench(session: nox.Session) -> None:
    """Measures beside core's own code (COMFYUI_PATH) and writes docs/benchmarks.md. `-- decode host`: some parts."""
    session.install(*TESTING, "-r", "tests/requirements-bench.txt")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def real(session: nox.Session) -> None:
    """Holds the clips of a folder against the ffmpeg program: what differs, and how many of each kind there were."""
    if shutil.which("ffmpeg") is None:
        session.error("there is no ffmpeg program here to compare with")
    session.install(*TESTING)
    session.run("python", "-m", "tests.media.compare_with_ffmpeg", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """The matrices whole, then many jobs with faults and kills: `-- 1000 10 20` are jobs, percent of faults, kills."""
    session.install(*TESTING)
    session.run(*PYTEST, "-m", "soak", "-k", "not postgresql", *MATRICES)
    session.run("python", "-m", "tests.soak.soak", *session.posargs)


@nox.session
def fleet(session: nox.Session) -> None:
    """The matrices over a database, then machines on one: their busiest minute, and many jobs.

    `-- 1000 10 20 3 2`: jobs, percent of faults, kills, restarts and partitions.
    """
    session.install(*TESTING)
    session.run(*PYTEST, "-k", "postgresql", *MATRICES)
    session.run("python", "-m", "tests.fleet.minute")
    session.run("python", "-m", "tests.fleet.fleet", *session.posargs)
