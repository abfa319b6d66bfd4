"""What `nodes/comfyui/host.py` asks of ComfyUI, asked of every host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Host


NOT_HERE = "this ComfyUI makes no such video"


def answer(host: Host, class_type: str, **inputs: object) -> str:
    history = host.run(
        {
            "1": {"class_type": class_type, "inputs": inputs},
            "2": {"class_type": "Probe_Report", "inputs": {"value": ["1", 0]}},
        }
    )
    assert history["status"]["status_str"] == "success", history["status"]
    text: str = history["outputs"]["2"]["text"][0]
    return text


def test_state_lies_in_the_user_folder_results_in_output_and_users_are_not_kept_apart(host: Host) -> None:
    (host.base / "input" / "b.mp4").write_bytes(b"")
    (host.base / "input" / "a.webm").write_bytes(b"")
    (host.base / "input" / "notes.txt").write_bytes(b"")
    (host.base / "input" / "folder.mp4").mkdir()
    assert answer(host, "Probe_Folders", token="x") == (
        "['user/__apimall_video', 'output/apimall', 'input', 'temp'] True True ['a.webm', 'b.mp4'] False"
    )


def test_a_file_is_found_by_the_name_that_a_widget_gives(host: Host) -> None:
    for folder, ending in (("input", ""), ("input", " [input]"), ("output", " [output]"), ("temp", " [temp]")):
        place = host.base / folder / "found"
        place.mkdir(parents=True, exist_ok=True)
        (place / "x.txt").write_text(folder, encoding="utf-8")
        assert answer(host, "Probe_Find", name=f"found/x.txt{ending}") == f"found {folder}"


def test_a_file_elsewhere_is_refused_however_it_is_named(host: Host) -> None:
    secret = host.base / "user" / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    for name in ("../user/secret.txt", str(secret), "x/../../user/secret.txt [output]", "missing.txt", "", "a\0b"):
        assert answer(host, "Probe_Find", name=name) == "refused: InputError"


def test_a_symbolic_link_out_of_the_folders_is_refused(host: Host) -> None:
    secret = host.base / "user" / "linked.txt"
    secret.write_text("secret", encoding="utf-8")
    try:
        (host.base / "input" / "innocent.txt").symlink_to(secret)
    except OSError:
        pytest.skip("no symbolic links here")
    assert answer(host, "Probe_Find", name="innocent.txt") == "refused: InputError"


def shown(host: Host, text: str, *, client_id: str | None) -> list[tuple[str, str]]:
    before = len(host.texts())
    host.run(
        {
            "show": {"class_type": "Probe_Show", "inputs": {"text": text}},
            "2": {"class_type": "Probe_Report", "inputs": {"value": ["show", 0]}},
        },
        client_id=client_id,
    )
    return host.texts()[before:]


def test_status_text_goes_to_the_browser_that_queued_the_prompt(host: Host) -> None:
    assert shown(host, "3 of 12\nseconds", client_id="browser") == [("show", "3 of 12  \nseconds")]


def test_status_text_of_anothers_prompt_or_of_nobodys_is_not_shown(host: Host) -> None:
    assert shown(host, "for somebody else", client_id="somebody else") == []
    assert shown(host, "for nobody", client_id=None) == []


def test_nothing_in_a_status_text_is_markup(host: Host) -> None:
    hostile = '<img src=x onerror="alert(1)"> [click](https://x.example) **bold** `code` ' + "long " * 500
    ((_, text),) = shown(host, hostile, client_id="browser")
    assert not set(text) & set('<>"[]*`')
    assert len(text) <= 600


def test_progress_is_shown_on_the_node(host: Host) -> None:
    shown(host, "progress", client_id="browser")
    states: list[dict[str, Any]] = [
        data["nodes"]["show"] for event, data in host.sent() if event == "progress_state" and "show" in data["nodes"]
    ]
    assert (3, 12) in [(state["value"], state["max"]) for state in states]


def test_images_and_sound_share_the_memory_of_the_arrays(host: Host) -> None:
    assert answer(host, "Probe_Values", token="x") == "True True (1, 2, 10) 44100"


def look(host: Host, kind: str) -> tuple[str, dict[str, Any]]:
    history = host.run(
        {
            "1": {"class_type": "Probe_MakeVideo", "inputs": {"kind": kind}},
            "2": {"class_type": "Probe_LookAtVideo", "inputs": {"video": ["1", 0]}},
            "3": {"class_type": "Probe_Report", "inputs": {"value": ["2", 0]}},
        }
    )
    assert history["status"]["status_str"] == "success", history["status"]
    return history["outputs"]["3"]["text"][0], history["outputs"]


def test_a_video_on_disk_is_known_by_its_file(host: Host) -> None:
    text, outputs = look(host, "stored")
    assert text == "span ('stored.mp4', 0.0, 0.0) held False frames None"
    assert outputs["1"]["animated"] == [True]
    (clip,) = outputs["1"]["images"]
    assert (clip["filename"], clip["subfolder"], clip["type"]) == ("stored.mp4", "apimall/sub", "output")


def test_a_video_that_another_node_opened_elsewhere_is_its_file_and_is_not_previewed(host: Host) -> None:
    text, outputs = look(host, "outside")
    assert text == "span ('outside.mp4', 0.0, 0.0) held False frames None"
    assert "1" not in outputs


def test_a_video_in_memory_gives_its_bytes(host: Host) -> None:
    text, _ = look(host, "memory")
    assert text == "span None held True frames None"


def test_a_trimmed_video_is_a_span_and_no_file(host: Host) -> None:
    text, _ = look(host, "trimmed")
    assert text in ("span ('trimmed.mp4', 0.25, 0.125) held False frames None", NOT_HERE)


def test_a_cropped_video_is_not_the_file_under_it(host: Host) -> None:
    text, _ = look(host, "cropped")
    assert text in ("span None held False frames None", NOT_HERE)


def test_a_video_made_of_frames_gives_them_one_by_one(host: Host) -> None:
    text, _ = look(host, "frames")
    assert text == "span None held False frames (5, (4, 6, 3), '25/2', 0)"


def test_saving_a_stored_video_copies_its_packets(host: Host, tmp_path: Path) -> None:
    history = host.run(
        {
            "1": {"class_type": "Probe_MakeVideo", "inputs": {"kind": "saved"}},
            "2": {
                "class_type": "SaveVideo",
                "inputs": {"video": ["1", 0], "filename_prefix": "video/kept", "format": "auto", "codec": "auto"},
            },
        }
    )
    (clip,) = history["outputs"]["2"]["images"]
    saved = host.base / "output" / clip["subfolder"] / clip["filename"]
    assert packets(saved) == packets(host.base / "output" / "apimall" / "sub" / "saved.mp4")


def packets(path: Path) -> list[bytes]:
    import av

    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]
