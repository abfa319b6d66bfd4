"""The worst that can happen to a paid job, in real ComfyUIs: each ends with one charge and the clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.host.place import (
    KEY,
    Place,
    image_to_video,
    load_video,
    pictures,
    save,
    text_to_video,
)
from tests.host.real_host import RealHost

pytestmark = pytest.mark.host

# More frames than any memory here holds, in a file of a few hundred kilobytes.
SIDE, FRAMES = 4096, 2000


def test_a_lost_reply_is_asked_for_again_with_the_same_key_and_bytes(place: Place) -> None:
    charged, count = place.gateway.record.charges(), place.since()
    place.gateway.script("create", "drop-after")
    place.ok({"1": text_to_video("the reply is lost"), "2": save("1")})
    first, second = place.gateway.record.of("create")[-2:]
    assert count("create") == 2
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.body == second.body
    assert place.gateway.record.charges() - charged == 30


def test_an_interrupt_in_the_upload_sends_nothing_and_the_next_queue_sends_it_once(place: Place) -> None:
    count = place.since()
    picture = {
        "class_type": "EmptyImage",
        "inputs": {"width": 400, "height": 400, "batch_size": 1, "color": 0x336699},
    }
    shot = {"p": picture, "u": image_to_video("interrupted in the upload", image=["p", 0]), "s": save("u")}
    puts = place.gateway.record.count("put")
    place.gateway.script("put", "stall-before:60")
    prompt_id = place.host.queue(shot)
    assert place.gateway.record.wait_for("put", puts + 1, 60)
    place.host.interrupt()
    history = place.host.wait(prompt_id)
    assert "execution_interrupted" in [event for event, _ in history["status"]["messages"]]
    assert any("no credits were spent" in said for node, said in place.host.texts() if node == "u")
    assert count("create") == 0
    place.ok(shot)
    assert count("create") == 1


def test_two_processes_that_want_the_same_job_pay_for_one(place: Place, tmp_path: Path) -> None:
    charged, count = place.gateway.record.charges(), place.since()
    shot = {"1": text_to_video("wanted by two"), "2": save("1")}
    base = tmp_path / "second"
    for shared in (Path("user") / "__apimall_video", Path("output") / "apimall"):
        (base / shared).parent.mkdir(parents=True)
        (base / shared).symlink_to(place.host.base / shared, target_is_directory=True)
    environ = {"APIMALL_BASE_URL": place.gateway.base_url, "APIMALL_API_KEY": KEY}
    with RealHost(place.host.install, base, environ=environ) as second:
        place.clock.stop()
        begun = place.host.queue(shot), second.queue(shot)
        assert place.gateway.record.wait_for("create", 1, 60)
        second.await_text("1", "task ")
        place.clock.go_on()
        for host, prompt_id in zip((place.host, second), begun, strict=True):
            assert host.wait(prompt_id)["status"]["status_str"] == "success"
    assert count("create") == 1
    assert place.gateway.record.charges() - charged == 30


def test_frames_that_would_not_fit_are_refused_with_what_fits_and_comfyui_stays_up(place: Place) -> None:
    write_black(place.host.base / "input" / "large.mp4")
    error = place.error({"1": load_video(file="large.mp4"), "2": pictures("1", 1)})
    assert f"{FRAMES} frames of {SIDE}x{SIDE} need" in error
    assert "max_frames" in error and "max_side" in error and "every_nth" in error
    place.ok({"1": load_video(file="large.mp4", max_frames=1, max_side=256), "2": pictures("1", 1)})


def write_black(path: Path) -> None:
    """A clip of black pictures: one picture encoded, its packets repeated with the times that follow."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", Fraction(30), options={"preset": "ultrafast", "g": "1", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        packets: list[Any] = [*stream.encode(av.VideoFrame(SIDE, SIDE, "yuv420p")), *stream.encode(None)]
        data, time_base = bytes(packets[0]), packets[0].time_base
        step = int(Fraction(1, 30) / time_base)
        for number in range(FRAMES):
            again = av.Packet(data)
            again.stream, again.time_base = stream, time_base
            again.pts = again.dts = number * step
            again.duration, again.is_keyframe = step, True
            out.mux(again)
