"""What a developer or CI runs; each session installs what it needs.

nox -s tests        every test that needs neither a real ComfyUI nor a browser
nox -s lint         ruff, mypy in strict mode; for web/js tsc and biome (needs npm)
nox -s comfyui      the tests through each real ComfyUI named by COMFYUI_PATH (several: os.pathsep between them)
nox -s browser      the web half in the system's Chromium, on each ComfyUI named by COMFYUI_PATH
nox -s soak         the long matrices whole, then 1,000 rehearsal jobs with faults and kills; takes a while
nox -s screenshots  templates' thumbnails and docs/images, from the first ComfyUI of COMFYUI_PATH
nox -s bench        ours beside each ComfyUI of COMFYUI_PATH, imageio, OpenCV, ffmpeg; writes docs/benchmarks.md
nox -s demo         prompt to MP4 on the rehearsal gateway: no key, no ComfyUI, no torch
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint"]
nox.options.reuse_venv = "yes"

RUNTIME = ("-r", "requirements.txt")
TESTING = (*RUNTIME, "-r", "tests/requirements.txt")
PYTEST = ("python", "-m", "pytest", "-c", "tests/pytest.ini")
ELSEWHERE = "not host and not browser and not bench and not soak"
# The node files are ComfyUI's guests and use its torch. Nothing else may: the other tests run where there is none.
TORCH_TESTS = ("tests/contract", "tests/host", "tests/node_files", "tests/standin")


def _folders(*names: str) -> list[str]:
    return [name for name in names if Path(name).is_dir()]


@nox.session
def tests(session: nox.Session) -> None:
    """The tests of the node files and of the ComfyUI stand-in, with torch; then all others, without."""
    session.install(*TESTING, "-r", "tests/requirements-torch.txt")
    session.notify("tests_without_torch", session.posargs)
    session.run(*PYTEST, "-m", ELSEWHERE, *_folders(*TORCH_TESTS), *session.posargs)


@nox.session
def tests_without_torch(session: nox.Session) -> None:
    """The tests of gateway, jobs, media and rehearsal, in an environment without torch."""
    session.install(*TESTING)
    session.run("python", "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)")
    skipped = [f"--ignore={folder}" for folder in TORCH_TESTS]
    session.run(*PYTEST, "-m", ELSEWHERE, *skipped, "tests", *session.posargs)


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
    session.run(*PYTEST, "-m", "host", "-rs", *_folders("tests/contract", "tests/host"), *session.posargs)


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
        session.run("python", "-m", "nodes.demo", *rest)


@nox.session
def bench(session: nox.Session) -> None:
    """Measures beside core's own code (COMFYUI_PATH) and writes docs/benchmarks.md. `-- decode host`: some parts."""
    session.install(*TESTING, "-r", "tests/requirements-bench.txt")
    session.run("python", "-m", "tests.bench", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """The matrices whole, then many jobs with faults and kills: `-- 1000 10 20` are jobs, percent of faults, kills."""
    session.install(*TESTING)
    session.run(*PYTEST, "-m", "soak", *_folders("tests/faults", "tests/jobs"))
    session.run("python", "-m", "tests.soak.soak", *session.posargs)
