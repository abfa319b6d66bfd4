"""What is shipped, what a scanner finds in it, and which room may know of which."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED_AT_THE_TOP = {
    "LICENSE",
    "README.md",
    "__init__.py",
    "docs",
    "example_workflows",
    "locales",
    "nodes",
    "pyproject.toml",
    "requirements.txt",
    "subgraphs",
    "web",
}
LARGEST_ARCHIVE_BYTES = 2_000_000
LARGEST_SCRIPTS_BYTES = 110 * 1024

# What scanners of the registry are known to stop at, in any text file. They look for words, not for meaning.
TRIPWIRES = {
    "environment": r"os\.environ|os\.getenv|\bgetenv\(|\bputenv\(",
    "http": (
        r"(?<![\w.])requests\.\w+\(|urllib\.request|urlopen\(|http\.client|aiohttp\.ClientSession"
        r"|XMLHttpRequest|WebSocket\("
    ),
    "socket": (
        r"\bimport socket|\bsocket\.\w+\(|socketserver"
        r"|(?<!sqlite3)\.connect\(|\.bind\(|\.send\(|\.recv\(|\.listen\("
    ),
    "process": r"subprocess|os\.system\(|os\.popen\(|os\.exec|os\.spawn|\bpty\.spawn",
    "code": r"(?<![\w.])(?:eval|exec|compile)\(|new Function\(|marshal|types\.CodeType",
    "import": r"importlib|__import__|sys\.path\.|runpy|sys\.modules",
    "native": r"ctypes|cffi|\bmmap\b",
    "pickle": r"\bpickle\.|\bimport pickle|shelve|torch\.load\(",
    "database": r"sqlite3\.connect\(",
    "hidden text": r"b64decode\(|bytes\.fromhex\(|codecs\.decode\(|zlib\.decompress|atob\(|(?:\\x[0-9a-f]{2}){4}",
    "page": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|document\.cookie|localStorage",
    "installing": r"pip install|\bpip\.main|ensurepip",
}
# File, rule, why it is there. Anything else fails the test, and so does a line here that is no longer needed.
ALLOWED = {
    ("README.md", "installing"): "tells people how to install by hand",
    ("docs/studio.md", "installing"): "the same, for the driver of a shared journal",
    ("nodes/settings.py", "environment"): "the one reader of the environment: key, base URL, limits",
    ("nodes/guard/connections.py", "http"): "the guarded connection under each download and upload: one request",
    ("nodes/guard/connections.py", "socket"): "connects to the very address that was checked (no second look-up)",
    ("nodes/guard/transfer.py", "http"): "names the exceptions of http.client that a broken download raises",
    ("nodes/gateway/network.py", "http"): "asks requests which proxy and certificates are set up",
    ("nodes/gateway/network.py", "socket"): "the adapter of requests with other certificates: hands a request on",
    ("nodes/gateway/client.py", "http"): "the one client of the gateway; its docstring speaks of http.client",
    ("nodes/gateway/deadlines.py", "http"): "gives the replies to the client a deadline; asks for nothing itself",
    ("nodes/gateway/deadlines.py", "socket"): "the same: bounds how long a connection's bytes are waited for",
    (
        "nodes/rehearsal/http_server.py",
        "socket",
    ): "the stand-in gateway: listens on 127.0.0.1, only when it is asked for",
    ("nodes/rehearsal/contract.py", "hidden text"): "the stand-in takes uploads as base64, as the gateway's page says",
    ("web/js/memory.js", "page"): "the last word on each node survives a reload: job, state, price; no secret",
    ("web/js/panel.js", "page"): "list or large tiles: the choice survives a reload; no secret",
    ("web/js/canvas.js", "socket"): "links two nodes on the canvas",
    ("nodes/media/forecast.py", "native"): "free memory on Windows: GlobalMemoryStatusEx, no other call",
    ("nodes/media/forecast.py", "process"): "free memory on macOS: /usr/bin/vm_stat, fixed, without a shell",
    (
        "nodes/journal/postgres.py",
        "socket",
    ): "the database that APIMALL_JOURNAL names; cuts dead lines",
    ("nodes/journal/postgres.py", "installing"): "tells people how to install the driver by hand",
    ("nodes/journal/sqlite_file.py", "database"): "the journal of paid jobs, in the state folder",
    (
        "nodes/journal/request_budget.py",
        "database",
    ): "counts the requests of all processes that share a journal, in the state folder",
    ("nodes/rehearsal/book.py", "database"): "the stand-in gateway's own book, in the rehearsal's folder",
    ("nodes/journal/salvage.py", "database"): "reads what is left of a damaged journal, from a copy",
}


def _git(*arguments: str) -> list[str]:
    try:
        told = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout: what would be shipped is not known")
    return told.stdout.splitlines()


@pytest.fixture(scope="module")
def archive() -> list[str]:
    """Paths in the archive: what git tracks, without what .comfyignore names (gitignore rules)."""
    left_out = set(_git("ls-files", "--cached", "--ignored", "--exclude-from=.comfyignore"))
    return [path for path in _git("ls-files") if path not in left_out and (ROOT / path).exists()]


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        tomllib = pytest.importorskip("tomli")
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return found


# The archive


def test_only_what_users_need_is_shipped(archive: list[str]) -> None:
    assert {path.split("/")[0] for path in archive} == SHIPPED_AT_THE_TOP
    strange = [
        path
        for path in archive
        if not path.endswith((".py", ".js", ".css", ".json", ".md", ".toml", ".txt", ".jpg", ".svg"))
    ]
    assert strange == ["LICENSE"]
    assert not [path for path in archive if "test" in path.lower() or "/." in path or path.startswith(".")]


def test_the_documents_that_shipped_code_cites_are_shipped_with_it(archive: list[str]) -> None:
    code = [(ROOT / path).read_text("utf-8") for path in archive if path.endswith((".py", ".js"))]
    cited = {name for text in code for name in re.findall(r"docs/[\w-]+\.md", text)}
    assert cited and sorted(cited - set(archive)) == []


def test_the_archive_is_small(archive: list[str]) -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in archive}
    assert sum(sizes.values()) < LARGEST_ARCHIVE_BYTES
    assert sum(size for path, size in sizes.items() if path.endswith((".js", ".css"))) < LARGEST_SCRIPTS_BYTES


def test_nothing_is_tracked_that_is_no_plain_source() -> None:
    kinds = {line.split("\t")[1]: line.split()[0] for line in _git("ls-files", "--stage")}
    assert [path for path, kind in kinds.items() if kind not in ("100644", "100755")] == [], "links and submodules"
    assert [path for path, kind in kinds.items() if kind == "100755"] == [".ci/run"]
    built = (".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".exe", ".whl", ".zip", ".db", ".sqlite3", ".mp4", ".map")
    assert [path for path in kinds if path.endswith(built)] == []


def test_scanners_find_nothing_that_is_not_explained(archive: list[str]) -> None:
    found = {
        (path, rule)
        for path in archive
        if not path.endswith(".jpg")
        for rule, pattern in TRIPWIRES.items()
        if re.search(pattern, (ROOT / path).read_text("utf-8"))
    }
    assert sorted(found - set(ALLOWED)) == []
    assert sorted(set(ALLOWED) - found) == [], "explained, but no longer there"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("value = os.environ['X']", "environment"),
        ("reply = requests.get(url)", "http"),
        ("handler.bind(this)", "socket"),
        ("subprocess.run(['x'])", "process"),
        ("eval(text)", "code"),
        ("module = importlib.import_module(name)", "import"),
        ("ctypes.CDLL(name)", "native"),
        ("pickle.loads(data)", "pickle"),
        ("sqlite3.connect(path)", "database"),
        ("base64.b64decode(blob)", "hidden text"),
        ("box.innerHTML = text", "page"),
        ("os.system('pip install x')", "installing"),
    ],
)
def test_every_tripwire_trips(text: str, rule: str) -> None:
    assert len(TRIPWIRES) == 12
    assert re.search(TRIPWIRES[rule], text)


def test_python_is_written_in_letters_every_windows_knows(archive: list[str]) -> None:
    for path in [*archive, *(path for path in _git("ls-files") if path.endswith(".py"))]:
        if path.endswith(".py"):
            (ROOT / path).read_text("utf-8").encode("cp1252")


def test_no_text_hides_characters_that_nobody_sees(archive: list[str]) -> None:
    for path in archive:
        if not path.endswith(".jpg"):
            text = (ROOT / path).read_text("utf-8")
            hidden = re.findall("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]", text)
            assert not hidden, path
            assert "\r" not in text, path


# What it says of itself


def test_the_two_lists_of_requirements_are_one(manifest: dict[str, Any]) -> None:
    listed = [line for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines() if line.strip()]
    assert listed == manifest["project"]["dependencies"]
    names = {re.split(r"[\[>=<~! ]", line)[0] for line in listed}
    assert names == {"requests", "pillow", "numpy", "imageio", "av", "sqlalchemy"}


def test_the_manifest_is_complete(manifest: dict[str, Any]) -> None:
    project, comfy = manifest["project"], manifest["tool"]["comfy"]
    assert project["name"] == "apimall-video"
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["license"] == {"file": "LICENSE"}
    assert (ROOT / project["readme"]).is_file() and 20 < len(project["description"]) < 200
    assert set(project["urls"]) >= {"Homepage", "Repository", "Documentation", "Issues", "Bug Tracker"}
    assert all(url.startswith("https://") for url in project["urls"].values())
    assert project["classifiers"] == ["Operating System :: OS Independent"]
    assert (comfy["PublisherId"], comfy["DisplayName"]) == ("apimall", "API Mall Video")
    assert re.fullmatch(r">=\d+\.\d+\.\d+", comfy["requires-comfyui"])
    assert "web" not in comfy, "WEB_DIRECTORY registers it; both would load every script twice"
    assert f"## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_icon_and_banner_are_files_of_this_repository(manifest: dict[str, Any]) -> None:
    comfy = manifest["tool"]["comfy"]
    for name in ("Icon", "Banner"):
        inside = re.fullmatch(r"https://raw\.githubusercontent\.com/[\w-]+/[\w-]+/main/(.+\.svg)", comfy[name])
        assert inside, name
        picture = (ROOT / inside[1]).read_text("utf-8")
        assert picture.lstrip().startswith("<svg") and "<script" not in picture and "href=" not in picture


def test_shipped_json_is_json(archive: list[str]) -> None:
    for path in archive:
        if path.endswith(".json"):
            json.loads((ROOT / path).read_text("utf-8"))


def test_workflows_for_github_run_what_there_is() -> None:
    workflows = {path.name: path.read_text("utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert set(workflows) == {"tests.yml", "publish.yml"}
    noxfile = (ROOT / "noxfile.py").read_text("utf-8")
    sessions = set(re.findall(r"(?m)^@nox\.session.*\n(?:@.*\n)*def (\w+)", noxfile))
    for name, text in workflows.items():
        assert "\t" not in text
        assert re.search(r"(?m)^permissions:\n  contents: read$", text), f"{name} asks for no rights it does not need"
        assert "pull_request_target" not in text
        assert set(re.findall(r"nox -s (\w+)", text)) <= sessions
    pythons = re.findall(r'"(3\.\d+)"', noxfile.split("PYTHONS = ")[1].splitlines()[0])
    for version in pythons:
        assert f'"{version}"' in workflows["tests.yml"]
    assert "schedule:" in workflows["tests.yml"], "a release that breaks us turns a run red before a user sees it"
    assert "secrets." not in workflows["tests.yml"]


# Who may know of whom

HOST_MODULES = {
    "comfy",
    "comfy_api",
    "comfy_execution",
    "comfyui_version",
    "folder_paths",
    "server",
    "nodes",
    "execution",
}
NODE_FILES = ("image_to_video", "load_video", "poll_result", "text_to_video", "video_to_video")
ARROWS = {
    "stopping": set(),
    "files": {"stopping"},
    "remarks": set(),
    "troubles": {"remarks"},
    "gateway": {"remarks", "troubles"},
    "media": {"files", "remarks", "stopping", "troubles"},
    "guard": {"gateway", "remarks", "stopping", "troubles"},
    "journal": {"gateway", "remarks", "troubles"},
    "jobs": {"files", "gateway", "guard", "journal", "media", "remarks", "stopping", "troubles"},
    "rehearsal": {"files", "gateway", "media"},
    "settings": {"files", "gateway", "remarks", "troubles"},
    "service": {"gateway", "guard", "jobs", "journal", "media", "rehearsal", "remarks", "settings", "troubles"},
    "panel": {"gateway", "files", "jobs", "journal", "media", "service", "settings"},
    "comfyui": {
        *{
            "files",
            "gateway",
            "guard",
            "jobs",
            "journal",
            "media",
            "panel",
            "remarks",
            "stopping",
            "service",
            "settings",
            "troubles",
        },
    },
    **{name: {"comfyui", "gateway", "jobs", "stopping"} for name in NODE_FILES},
}
# The stand-in reads the header; the real gateway's is written in one place.
REHEARSAL_READERS = {f"nodes/rehearsal/{name}.py" for name in ("contract", "storage")}
# A program, not a part: nothing imports it, and it wires the whole pack up as ComfyUI would.
PROGRAMS = {"nodes/demo.py", "nodes/move_journal.py"}


@functools.cache
def _tree(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text("utf-8"))


def _files() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "nodes").rglob("*.py"))


@functools.cache
def _imports(path: str, *, for_types: bool = True) -> tuple[tuple[int, str], ...]:
    """(level, dotted name) of every import in a file, inside functions too."""
    return tuple(_imports_of(_tree(path), for_types))


def _imports_of(tree: ast.Module, for_types: bool) -> Iterator[tuple[int, str]]:
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for part in node.body
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if not for_types and node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.level, node.module
            else:
                yield from ((node.level, alias.name) for alias in node.names)


def _room(path: str) -> str:
    return path.split("/")[1].removesuffix(".py")


def _known_rooms(path: str) -> set[str]:
    """The rooms and files of the pack, outside its own, that a file imports from."""
    depth = path.count("/")
    inside = path.split("/")[1:-1]
    found = set()
    for level, name in _imports(path):
        if level:
            assert level <= depth, f"{path} reaches out of the pack"
            found.add([*inside[: depth - level], *name.split(".")][0])
    return found - {_room(path)}


@pytest.mark.parametrize("path", [path for path in _files() if path not in PROGRAMS and path != "nodes/__init__.py"])
def test_arrows_run_one_way(path: str) -> None:
    assert _known_rooms(path) - ARROWS[_room(path)] == set()


def test_the_page_for_people_shows_the_same_arrows_and_all_of_them_run_down() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| ((?:`\w+` ?)+) \| .+? \|(?: ((?:`\w+` ?)+))? \|$", page)
    shown = {room: set(re.findall(r"\w+", known)) for rooms, known in rows for room in re.findall(r"\w+", rooms)}
    assert shown == ARROWS
    rank = {room: number for number, (rooms, _) in enumerate(rows) for room in re.findall(r"\w+", rooms)}
    assert [(room, known) for room in shown for known in shown[room] if rank[known] <= rank[room]] == []


def test_nobody_imports_a_program() -> None:
    for path in _files():
        assert not [name for level, name in _imports(path) if level and name.split(".")[-1] in ("demo", "move_journal")]


def test_the_arrows_hold_no_circle() -> None:
    settled: set[str] = set()
    while left := {name for name in ARROWS if name not in settled}:
        free = {name for name in left if ARROWS[name] <= settled}
        assert free, f"a circle among {left}"
        settled |= free


def test_only_relative_imports_name_the_pack() -> None:
    for path in _files():
        assert not [name for level, name in _imports(path) if level == 0 and name.split(".")[0] in ("nodes", "apimall")]


def _importers(*modules: str, for_types: bool = False) -> set[str]:
    return {
        path
        for path in _files()
        if any(level == 0 and name.split(".")[0] in modules for level, name in _imports(path, for_types=for_types))
    }


def test_each_foreign_library_has_its_place() -> None:
    assert _importers("torch") == {"nodes/comfyui/host.py"}
    assert {_room(path) for path in _importers("torch", for_types=True)} <= {"comfyui", *NODE_FILES}
    assert {_room(path) for path in _importers("aiohttp", for_types=True)} == {"panel"}
    assert _importers("requests", "urllib3") == {
        "nodes/gateway/client.py",
        "nodes/gateway/deadlines.py",
        "nodes/gateway/network.py",
        "nodes/guard/connections.py",
        "nodes/guard/storage.py",
        "nodes/guard/transfer.py",
    }
    assert _importers("psycopg") == {"nodes/journal/postgres.py"}
    assert {_room(path) for path in _importers("sqlalchemy")} == {"journal"}
    assert {_room(path) for path in _importers("sqlite3")} <= {"journal", "rehearsal"}
    assert {_room(path) for path in _importers("av", "PIL")} <= {"media", "rehearsal"}
    assert {_room(path) for path in _importers(*HOST_MODULES)} <= {"comfyui", "panel", *NODE_FILES}
    assert _importers("folder_paths", "comfy", "comfy_execution") == {"nodes/comfyui/host.py"}


def test_everything_imported_is_a_requirement_or_the_hosts(manifest: dict[str, Any]) -> None:
    brought = {
        "requests": {"requests", "urllib3", "idna"},
        "pillow": {"PIL"},
        "numpy": {"numpy"},
        "imageio[pyav]": set(),
        "av": {"av"},
        "sqlalchemy": {"sqlalchemy"},
    }
    required = {re.split(r"[>=<~!]", line)[0] for line in manifest["project"]["dependencies"]}
    optional = {"psycopg"}
    known = {module for name in required for module in brought[name]} | HOST_MODULES | {"torch", "aiohttp"} | optional
    foreign = defaultdict(set)
    for path in _files():
        for level, name in _imports(path):
            top = name.split(".")[0]
            if level == 0 and top not in sys.stdlib_module_names and top not in known:
                foreign[path].add(top)
    assert foreign == {}


@pytest.mark.parametrize(
    ("pattern", "only"),
    [
        (r"os\.environ|os\.getenv", {"nodes/settings.py"}),
        (r"key\.reveal\(\)", {"nodes/settings.py"}),
        # The address of a journal is for the room that opens it.
        (r"\.reveal\(\)", {"nodes/settings.py", "nodes/service.py", "nodes/move_journal.py"}),
        (r"\bprint\(", {"nodes/demo.py", "nodes/move_journal.py", "nodes/rehearsal/__main__.py"}),
        (r"except:|except BaseException:\s*pass|except Exception:\s*pass", set()),
        (r"Authorization", {"nodes/gateway/client.py", *REHEARSAL_READERS}),
        (r"side_data|disposition|metadata_errors|av\.__version__|library_versions", {"nodes/media/pyav.py"}),
        (r"codec_context\.(pix_fmt|format)", {"nodes/media/pyav.py"}),
        (r"container\.close\(|\.flush_buffers\(|mode='r'", {"nodes/media/pyav.py"}),
    ],
)
def test_some_things_are_done_in_one_place(pattern: str, only: set[str]) -> None:
    speaking = {path for path in _files() if re.search(pattern, _code(path))}
    assert speaking <= only, speaking - only


@functools.cache
def _code(path: str) -> str:
    """A file without docstrings and comments."""
    return ast.unparse(_WithoutDocstrings().visit(ast.parse((ROOT / path).read_text("utf-8"))))


class _WithoutDocstrings(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if hasattr(node, "body") and isinstance(node.body, list) and not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node


_IMPORT_ALL = """
import pkgutil, sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ImportError(f"{name} is the host's")

BLOCKED = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Refusing())
import nodes
for room in (
    *("files", "gateway", "guard", "jobs", "journal", "media"),
    *("remarks", "stopping", "rehearsal", "settings", "service"),
):
    module = __import__(f"nodes.{room}", fromlist=["x"])
    for found in pkgutil.iter_modules(getattr(module, "__path__", ())):
        if found.name != "__main__":
            __import__(f"nodes.{room}.{found.name}")
from nodes.service import Folders, Service
loaded = sorted(name for name in sys.modules if name.startswith("nodes."))
print(len(loaded), sorted(BLOCKED & {name.split(".")[0] for name in sys.modules}))
"""


def test_the_rooms_need_neither_comfyui_nor_torch_nor_aiohttp() -> None:
    blocked = {"torch", "aiohttp", *HOST_MODULES} - {"nodes"}
    told = subprocess.run(
        [sys.executable, "-c", _IMPORT_ALL, ",".join(sorted(blocked))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    count, held = told.stdout.split(maxsplit=1)
    assert int(count) > 50
    assert held.strip() == "[]"


def test_the_pack_imports_nothing_of_itself_before_it_is_asked() -> None:
    imported = [name for _, name in _imports("__init__.py", for_types=False)]
    assert imported == ["__future__", "typing", "nodes.comfyui.extension", *(f"nodes.{name}" for name in NODE_FILES)]
    assert len(_tree("nodes/__init__.py").body) == 1, "a docstring only"


_OLD_HOST = """
import asyncio, importlib.util, sys, types
latest = types.ModuleType("comfy_api.latest")  # a ComfyUI in which something is not there yet
sys.modules.update({"comfy_api": types.ModuleType("comfy_api"), "comfy_api.latest": latest})
spec = importlib.util.spec_from_file_location("a_pack", sys.argv[1], submodule_search_locations=[sys.argv[2]])
pack = sys.modules["a_pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
try:
    asyncio.run(pack.comfy_entrypoint())
except Exception as problem:
    print(f"Error while calling comfy_entrypoint: {problem}")
    print(problem.__cause__, problem.__suppress_context__)
"""


def test_a_comfyui_that_is_too_old_is_told_so_in_one_line() -> None:
    """Core logs what `comfy_entrypoint` raises as one line; before 0.3.47 it skips the pack, in one line of its own."""
    told = subprocess.run(
        [sys.executable, "-c", _OLD_HOST, str(ROOT / "__init__.py"), str(ROOT)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    line, chained = told.stdout.splitlines()
    assert "needs ComfyUI 0.3.64 or newer" in line and "comfy_api.latest" in line
    assert chained == "None True"
    assert told.stderr == ""


def test_the_floor_is_the_same_everywhere(manifest: dict[str, Any]) -> None:
    floor = manifest["tool"]["comfy"]["requires-comfyui"].removeprefix(">=")
    for path in ("__init__.py", "README.md", ".github/workflows/tests.yml"):
        assert floor in (ROOT / path).read_text("utf-8"), path
