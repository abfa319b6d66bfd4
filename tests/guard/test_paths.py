"""Names that nobody vouches for: which file they may lead to, and what a result file is called."""

from __future__ import annotations

import ntpath
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.guard.errors import GuardError, PathForbidden
from nodes.guard.paths import _parts_of, find_media, require_inside, result_name, result_path

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs links and names that only POSIX allows")
SECRET = "top secret"


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """ComfyUI's three folders with a clip in each, and beside them what must stay out of reach."""
    found = {}
    for place in ("input", "output", "temp"):
        found[place] = tmp_path / "comfy" / place
        (found[place] / "sub").mkdir(parents=True)
        (found[place] / "clip.mp4").write_text(f"clip of {place}", encoding="ascii")
        (found[place] / "sub" / "clip.mp4").write_text(f"sub of {place}", encoding="ascii")
    for outside in (tmp_path / "secret.mp4", tmp_path / "comfy" / "secret.mp4", tmp_path / "comfy" / "input2.mp4"):
        outside.write_text(SECRET, encoding="ascii")
    (tmp_path / "comfy" / "input-secret").mkdir()
    (tmp_path / "comfy" / "input-secret" / "secret.mp4").write_text(SECRET, encoding="ascii")
    return found


WELCOME = [
    ("clip.mp4", "clip of input"),
    ("sub/clip.mp4", "sub of input"),
    ("sub\\clip.mp4", "sub of input"),
    ("./clip.mp4", "clip of input"),
    ("sub//clip.mp4", "sub of input"),
    ("clip.mp4 [input]", "clip of input"),
    ("clip.mp4 [output]", "clip of output"),
    ("sub/clip.mp4 [temp]", "sub of temp"),
]


@pytest.mark.parametrize("name", ["C:clip.mp4", "c:clip.mp4", "sub/D:clip.mp4", "sub\\D:\\clip.mp4", "./E:clip.mp4"])
def test_a_name_that_means_another_drive_is_refused_on_windows(name: str) -> None:
    with pytest.raises(PathForbidden, match=r"Windows|inside"):
        _parts_of(name, windows=True)


@POSIX
@pytest.mark.parametrize("name", ["~draft.mp4", " clip.mp4", "a:b.mp4", "sub/ clip.mp4", "C:clip.mp4", "x."])
def test_a_name_that_only_windows_reads_in_its_own_way_is_found_elsewhere(folders: dict[str, Path], name: str) -> None:
    (folders["input"] / name).write_text("mine", encoding="ascii")
    assert find_media(name, folders).read_text(encoding="ascii") == "mine"


NT_ROOT = "C:\\ComfyUI\\input"


@given(st.text(st.sampled_from("aC:D/\\. ~nul1"), min_size=1, max_size=24))
def test_whatever_name_is_accepted_stays_in_its_folder_by_windows_rules_too(name: str) -> None:
    try:
        parts = _parts_of(name, windows=True)
    except PathForbidden:
        return
    joined = ntpath.normpath(ntpath.join(NT_ROOT, *parts))
    assert joined.startswith(NT_ROOT + "\\"), joined
    assert ntpath.splitdrive(joined)[0] == "C:"
    assert not any(part.partition(".")[0].strip().lower() in ("nul", "con") for part in parts)


def test_a_result_and_the_part_of_it_fit_into_a_windows_path_of_a_usual_folder() -> None:
    """260 characters are all that many programs on Windows can open."""
    folder = (
        "C:\\Users\\a-name-of-twenty-abc\\AppData\\Local\\Programs\\ComfyUI_windows_portable\\ComfyUI\\output\\apimall"
    )
    for task_id in ("x" * 1000, "vid_1", "\u89c6" * 300, "con", "a/b:c"):
        part = ntpath.join(folder, f".{result_name(task_id)}.part")
        assert len(part) < 260
        assert ntpath.splitdrive(result_name(task_id))[0] == ""


@pytest.mark.parametrize(("name", "content"), WELCOME)
def test_a_file_in_a_comfyui_folder_is_found(folders: dict[str, Path], name: str, content: str) -> None:
    assert find_media(name, folders).read_text(encoding="ascii") == content


@pytest.mark.parametrize(
    "name",
    [
        "\u89c6\u9891\u7247\u6bb5.mp4",
        "\u00fcml\u00e4ut \u0441\u043b\u043e\u0432\u043e.mp4",
        "\U0001f3ac \U0001f600.mp4",
        "a name with  blanks.mp4",
        "it's [not] an (annotation).mp4",
        "..hidden..clip.mp4",
        "console.mp4",
        "com10.mp4",
        "-rf.mp4",
        "%2e%2e.mp4",
        "e\u0301.mp4",
    ],
)
def test_an_unusual_name_is_found_as_it_is(folders: dict[str, Path], name: str) -> None:
    (folders["input"] / name).write_text("mine", encoding="ascii")
    assert find_media(name, folders).read_text(encoding="ascii") == "mine"


HOSTILE = [
    # traversal
    "../secret.mp4",
    "../../secret.mp4",
    "sub/../../secret.mp4",
    "sub/../clip.mp4",
    "..\\secret.mp4",
    "sub\\..\\..\\secret.mp4",
    "..",
    "../input2.mp4",
    "../input-secret/secret.mp4",
    "../secret.mp4 [output]",
    "../output/clip.mp4",
    "..;/secret.mp4",
    "../" * 60 + "etc/passwd",
    # absolute, home, drives, UNC
    "/etc/passwd",
    "//etc/passwd",
    "/etc/passwd [temp]",
    "~/secret.mp4",
    "~root/secret.mp4",
    "C:\\Windows\\win.ini",
    "c:/Windows/win.ini",
    "C:clip.mp4",
    "\\\\server\\share\\secret.mp4",
    "//server/share/secret.mp4",
    "\\\\?\\C:\\Windows\\win.ini",
    "\\\\.\\PhysicalDrive0",
    "file:///etc/passwd",
    "https://example.com/clip.mp4",
    # devices and aliases of Windows
    "CON",
    "nul.mp4",
    "aux .mp4",
    "COM1.mp4",
    "lpt9.tar.mp4",
    "com\u00b9.mp4",
    "sub/PRN",
    "CONIN$",
    "clip.mp4.",
    "clip.mp4 ",
    "clip.mp4...",
    "sub ./clip.mp4",
    " clip.mp4",
    "clip.mp4::$DATA",
    # bytes that end, break or hide a name
    "",
    "   ",
    ".",
    "/",
    "sub/",
    "clip.mp4\x00.png",
    "\x00",
    "clip\n.mp4",
    "clip\x1b[2J.mp4",
    "\ud800.mp4",
    # look-alikes of dots and slashes
    "\uff0e\uff0e/secret.mp4",
    "\u2024\u2024/secret.mp4",
    "..\u2215secret.mp4",
    "..\uff0fsecret.mp4",
    "..\u29f5secret.mp4",
    "%2e%2e/secret.mp4",
    "..%2fsecret.mp4",
    "\u202egpj.4pm",
    # too long, missing
    "a" * 300 + ".mp4",
    "a" * 5000,
    "/".join(["sub"] * 400),
    "missing.mp4",
    "clip.mp4 [secret]",
    "clip.mp4/clip.mp4",
]


@pytest.mark.parametrize("name", HOSTILE, ids=[ascii(name)[:40] for name in HOSTILE])
def test_a_hostile_name_reads_nothing(folders: dict[str, Path], name: str) -> None:
    with pytest.raises(PathForbidden) as caught:
        find_media(name, folders)
    _assert_fit_to_be_shown(str(caught.value))


def test_the_tables_are_as_large_as_promised() -> None:
    assert len(set(HOSTILE)) >= 50
    assert len(set(WELCOME)) >= 8


@given(st.text(max_size=60) | st.lists(st.sampled_from(["..", ".", "/", "\\", "a", " ", "C:", "\x00"])).map("".join))
def test_whatever_the_name_nothing_outside_is_found(name: str) -> None:
    root = Path(__file__).parent / "no such folder"
    with pytest.raises(PathForbidden) as caught:
        find_media(name, {"input": root})
    _assert_fit_to_be_shown(str(caught.value))


@POSIX
def test_links_count_by_where_they_lead(folders: dict[str, Path], tmp_path: Path) -> None:
    inside = folders["input"]
    (inside / "within.mp4").symlink_to(inside / "sub" / "clip.mp4")
    (inside / "relative.mp4").symlink_to("sub/clip.mp4")
    (inside / "out.mp4").symlink_to(tmp_path / "secret.mp4")
    (inside / "out folder").symlink_to(tmp_path)
    (inside / "two steps.mp4").symlink_to(inside / "out.mp4")
    (inside / "dangling.mp4").symlink_to(inside / "nothing")
    (inside / "loop.mp4").symlink_to(inside / "loop.mp4")
    assert find_media("within.mp4", folders) == inside / "sub" / "clip.mp4"
    assert find_media("relative.mp4", folders) == inside / "sub" / "clip.mp4"
    for name in ("out.mp4", "out folder/secret.mp4", "two steps.mp4", "dangling.mp4", "loop.mp4"):
        with pytest.raises(PathForbidden) as caught:
            find_media(name, folders)
        assert ("is a link to a place outside" in str(caught.value)) == (name not in ("dangling.mp4", "loop.mp4"))


@POSIX
def test_an_input_folder_that_is_a_link_itself_works(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folders["input"])
    assert find_media("clip.mp4", {"input": tmp_path / "link"}) == folders["input"] / "clip.mp4"


@POSIX
def test_only_plain_files_are_read(folders: dict[str, Path]) -> None:
    os.mkfifo(folders["input"] / "pipe.mp4")
    for name in ("pipe.mp4", "sub"):
        with pytest.raises(PathForbidden, match="not a file"):
            find_media(name, folders)
    with pytest.raises(PathForbidden):
        require_inside(Path("/dev/zero"), folders.values())


def test_a_path_is_judged_by_every_root(folders: dict[str, Path], tmp_path: Path) -> None:
    clip = folders["temp"] / "clip.mp4"
    assert require_inside(clip, folders.values()) == clip
    assert require_inside(folders["input"] / ".." / "temp" / "clip.mp4", folders.values()) == clip
    beside = tmp_path / "comfy" / "input-secret" / "secret.mp4"
    for outside in (tmp_path / "secret.mp4", folders["input"] / ".." / "secret.mp4", beside):
        with pytest.raises(PathForbidden, match="does not lie in"):
            require_inside(outside, folders.values())
    with pytest.raises(PathForbidden):
        require_inside(Path("clip\x00.mp4"), folders.values())
    with pytest.raises(PathForbidden):
        require_inside(clip, [folders["input"]])
    with pytest.raises(PathForbidden):
        require_inside(clip, [])


def test_a_refusal_does_not_tell_whether_a_forbidden_file_exists(folders: dict[str, Path], tmp_path: Path) -> None:
    said = set()
    for name in ("secret.mp4", "absent.mp4"):
        with pytest.raises(PathForbidden) as caught:
            require_inside(tmp_path / name, folders.values())
        said.add(str(caught.value).replace(name, ""))
    assert len(said) == 1


TASK_IDS = [
    "vid_01JABCDEFGHJKMNPQRSTVWXYZ0",
    "VID_01jabcdefghjkmnpqrstvwxyz0",
    "vid_01JABCDEFGHJKMNPQRSTVWXYZ0 ",
    "vid/01J",
    "vid\\01J",
    "vid:01J",
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/etc/passwd",
    "C:\\autoexec.bat",
    "\\\\server\\share",
    "\\\\?\\C:\\x",
    "CON",
    "nul.mp4",
    "com1",
    ".",
    "..",
    "...",
    "",
    " ",
    "-rf",
    "~",
    "$(reboot)",
    "`reboot`",
    "%s%n",
    "<img src=x onerror=alert(1)>",
    "a\x00b",
    "a\nb",
    "a\x1b]0;b",
    "clip.mp4",
    "clip.mp4.",
    "clip.exe",
    "\u4e2d\u6587",
    "\u4e2d\u6587\u5b57",
    "\U0001f600",
    "\u202etxt.4pm",
    "\uff0e\uff0e\uff0f",
    "e\u0301",
    "\u00e9",
    "\ud800",
    "x" * 300,
    "x" * 301,
    "x" * 100_000,
    ".hidden",
    "a b",
    "a_b",
]


def test_every_task_id_gets_a_safe_file_name_of_its_own() -> None:
    names = [result_name(task_id) for task_id in TASK_IDS]
    for name in names:
        _assert_safe_file_name(name)
    assert len({name.lower() for name in names}) == len(set(TASK_IDS)) == len(TASK_IDS) >= 40
    assert names == [result_name(task_id) for task_id in TASK_IDS]
    assert result_name("vid_01J").startswith("vid_01J-")


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_two_task_ids_get_two_safe_names(one: str, other: str) -> None:
    _assert_safe_file_name(result_name(one))
    assert (result_name(one).lower() == result_name(other).lower()) == (one == other)


def test_a_result_lies_directly_in_its_folder(tmp_path: Path) -> None:
    for task_id in TASK_IDS:
        path = result_path(tmp_path, task_id)
        assert path.parent == tmp_path
        path.write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == len(TASK_IDS)


@POSIX
def test_a_link_in_a_results_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / result_name("vid_1")).symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(PathForbidden, match="link"):
        result_path(tmp_path / "results", "vid_1")


def test_a_refused_path_is_an_error_of_the_guard() -> None:
    assert issubclass(PathForbidden, GuardError)


def _assert_safe_file_name(name: str) -> None:
    assert name.isascii()
    assert len(name) <= 100
    assert name.endswith(".mp4")
    stem = name.removesuffix(".mp4")
    assert stem.replace("-", "").replace("_", "").isalnum()
    assert name[0].isalnum()
    assert stem.lower() not in ("con", "prn", "aux", "nul")


def _assert_fit_to_be_shown(message: str) -> None:
    assert SECRET not in message
    assert len(message) < 300
    assert not [character for character in message if unicodedata.category(character) in ("Cc", "Cf", "Cs")]
    assert message.endswith(".")
