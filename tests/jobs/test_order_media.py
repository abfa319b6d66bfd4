"""What is sent of a clip: its pictures and its sound, in the form that every host takes, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.gateway.contract import LARGEST_UPLOAD_BYTES
from nodes.gateway.errors import Charge, InputError
from nodes.jobs import order_media
from nodes.jobs.order import MediumFile
from nodes.media.audio import Sound
from nodes.media.bare import copyable
from nodes.media.decode import decode_frames
from nodes.media.encode import encode_clip
from nodes.media.encoders import X264
from nodes.media.errors import NoEncoder
from nodes.media.probe import probe
from nodes.stopping import never_stop
from tests.support import clips
from tests.support.clips import damaged

FPS = 24
CANARY = "sk-somebodys-own-key-0123456789"
SECRETS: dict[str, str] = {
    "location": "+48.8584+002.2945/",
    "comment": CANARY,
    "prompt": CANARY,
    "creation_time": "2024-01-01T00:00:00Z",
}


def shades(count: int, width: int = 64, height: int = 48) -> list[np.ndarray[Any, Any]]:
    return [np.full((height, width, 3), 16 + 2 * number % 200, np.uint8) for number in range(count)]


def tone(seconds: float, rate: int = 44_100) -> Sound:
    wave = 0.25 * np.sin(np.arange(round(seconds * rate), dtype=np.float32) * np.float32(0.05))
    return Sound(np.stack([wave, wave])[np.newaxis], rate)


def clip(folder: Path, seconds: float = 3.0, fps: int = FPS, **more: Any) -> Path:
    return encode_clip(shades(round(seconds * fps)), fps, folder / "clip.mp4", preset="ultrafast", **more).path


def told(path: Path, out: Path, tracks: bool = True) -> Path:
    """The clip with all that a phone, an editor or another ComfyUI writes beside pictures and sound."""
    with av.open(str(path)) as source, av.open(str(out), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(SECRETS)
        copies = {stream.index: container.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for copy in copies.values():
            copy.metadata.update(SECRETS)
        if tracks:
            cover = container.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
            for packet in cover.encode(av.VideoFrame(32, 32, "yuvj420p")):
                container.mux(packet)
            container.mux(cover.encode(None))
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                container.mux(packet)
    return out


def written(path: Path, tmp_path: Path, **part: Any) -> MediumFile:
    folder = tmp_path / "uploads"
    folder.mkdir(exist_ok=True)
    return order_media.of_file(path, never_stop, "wan2-6", **part).write(folder, never_stop)


def video_packets(path: Path) -> list[bytes]:
    """What shows pictures in each, without the messages between (SEI)."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]
    return [b"".join(unit for unit in units_of(packet) if unit[0] & 31 in (1, 5)) for packet in packets]


def units_of(packet: bytes) -> list[bytes]:
    """Each after four bytes that tell its length, as x264 and FFmpeg write them."""
    units, at = [], 0
    while at < len(packet):
        begin = at + 4
        at = begin + int.from_bytes(packet[at:begin], "big")
        units.append(packet[begin:at])
    return units


def length_of(path: Path) -> tuple[float, float]:
    """Seconds of pictures and of sound, by what decodes."""
    with av.open(str(path)) as container:
        pictures = sum(1 for _ in container.decode(container.streams.video[0])) / float(
            container.streams.video[0].average_rate or 1
        )
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        samples = sum(frame.samples for frame in container.decode(track))
        return pictures, samples / track.rate


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_nothing_but_pictures_and_sound_becomes_public(tmp_path: Path, suffix: str) -> None:
    path = told(clip(tmp_path, sound=tone(3.0)), tmp_path / f"told{suffix}")
    assert CANARY.encode() in path.read_bytes()
    sent = written(path, tmp_path)
    data = sent.path.read_bytes()
    for secret in SECRETS.values():
        assert secret.encode() not in data
    with av.open(str(sent.path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.format.name.startswith("mov,mp4") and b"ftypisom" in data[:12]
    assert video_packets(sent.path) == video_packets(path)
    assert any("left out" in note and "metadata" in note for note in map(str, sent.notes))


def test_what_is_left_out_is_told_of_clips_that_are_encoded_too(tmp_path: Path) -> None:
    path = told(other("libx264", "yuv444p")(tmp_path), tmp_path / "told.mp4")
    sent = written(path, tmp_path)
    assert CANARY.encode() not in sent.path.read_bytes()
    assert "left out, since uploads are public: metadata, a video track" in map(str, sent.notes)
    assert "left out" in " ".join(map(str, written(path, tmp_path, start_seconds=0.5).notes))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_no_message_among_the_pictures_becomes_public(tmp_path: Path, suffix: str) -> None:
    """Drones and dashboard cameras write where they are between the pictures of H.264, encoders how they were set."""
    message = bytes(16) + CANARY.encode()
    path = tmp_path / f"told{suffix}"

    def with_message(_number: int, packet: Any) -> list[Any]:
        if packet.stream.type != "video":
            return [packet]
        unit = bytes([6, 5, len(message)]) + message.replace(bytes(2), b"\0\0\3") + b"\x80"
        telling = av.Packet(len(unit).to_bytes(4, "big") + unit + bytes(packet))
        telling.pts, telling.dts = packet.pts, packet.dts
        telling.time_base, telling.is_keyframe = packet.time_base, packet.is_keyframe
        return [telling]

    clips.copied(clip(tmp_path, sound=tone(3.0)), path, with_message)
    assert CANARY.encode() in path.read_bytes()
    sent = written(path, tmp_path)
    assert sent.notes == ()
    data = sent.path.read_bytes()
    assert CANARY.encode() not in data and b"x264 - core" not in data
    with av.open(str(sent.path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 72


@pytest.mark.parametrize("rest", [b"\0\0\0\5", b"\0\0\0\2\x0c\xff\0\0\0\7", b"\xff\xff\xff\xff", b"\0\0"])
def test_a_packet_that_is_cut_off_is_no_obstacle_to_a_copy(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "cut.mp4"

    def cut_off(number: int, packet: Any) -> list[Any]:
        cut = av.Packet(bytes(packet) + rest * (number == 40))
        cut.pts, cut.dts, cut.duration = packet.pts, packet.dts, packet.duration
        cut.time_base, cut.is_keyframe = packet.time_base, packet.is_keyframe
        return [cut]

    clips.copied(clip(tmp_path), path, cut_off)
    assert copyable(path).why_not is None
    with av.open(str(written(path, tmp_path).path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 72


def test_a_clip_that_changes_its_form_on_the_way_is_encoded(tmp_path: Path) -> None:
    """A recording of a stream goes on in another size; what reads the header alone cannot show it."""
    path = tmp_path / "changes.ts"
    first = other("libx264", "yuv420p", ".ts", size=(64, 48))(tmp_path).rename(tmp_path / "first.ts")
    second = other("libx264", "yuv420p", ".ts", size=(96, 64))(tmp_path)
    with av.open(str(path), "w") as container, av.open(str(first)) as one, av.open(str(second)) as two:
        copy = container.add_stream_from_template(one.streams.video[0], opaque=True)
        for number, source in enumerate((one, two)):
            for packet in source.demux(source.streams.video[0]):
                if packet.size and packet.pts is not None and packet.dts is not None:
                    packet.pts, packet.dts = packet.pts + number * 900_000, packet.dts + number * 900_000
                    packet.stream = copy
                    container.mux(packet)
    assert str(copyable(path).why_not) == "its pictures change their form on the way"


def test_a_clip_that_may_become_interlaced_on_the_way_is_encoded(tmp_path: Path) -> None:
    """The first picture alone is looked at; broadcasts are whole pictures here and fields there."""
    path = other("libx264", "yuv420p", options={"x264-params": "fake-interlaced=1"})(tmp_path)
    assert not probe(path).interlaced
    assert str(copyable(path).why_not) == "its pictures may be interlaced"


def test_a_clip_that_holds_nothing_else_is_said_to_lose_nothing(tmp_path: Path) -> None:
    assert written(clip(tmp_path, sound=tone(3.0)), tmp_path).notes == ()


def other(codec: str, pixel_format: str, suffix: str = ".mp4", **context: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"other{suffix}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=context.get("rate", FPS), options=context.get("options", {}))
            stream.width, stream.height = context.get("size", (64, 48))
            stream.pix_fmt = pixel_format
            if "aspect" in context:
                stream.codec_context.sample_aspect_ratio = context["aspect"]
            for picture in shades(context.get("count", 60), *context.get("size", (64, 48))):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


NOT_FOR_EVERYBODY = {
    "MPEG-4": other("mpeg4", "yuv420p"),
    "VP9": other("libvpx-vp9", "yuv420p", ".webm"),
    "4:4:4": other("libx264", "yuv444p"),
    "4:2:2": other("libx264", "yuv422p"),
    "10 bit": other("libx264", "yuv420p10le"),
    "RGB": other("libx264rgb", "rgb24"),
    "ProRes": other("prores_ks", "yuv422p10le", ".mov"),
    "interlaced": other("libx264", "yuv420p", options={"x264-params": "interlaced=1"}, size=(64, 64)),
    "pixels that are not square": other("libx264", "yuv420p", aspect=Fraction(4, 3)),
    "120 pictures a second": other("libx264", "yuv420p", rate=120, count=300),
    "larger than everybody takes": other("libx264", "yuv420p", size=(2048, 64)),
}


@pytest.mark.parametrize("make", NOT_FOR_EVERYBODY.values(), ids=NOT_FOR_EVERYBODY)
def test_what_not_every_host_decodes_is_made_so_that_it_does(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    sent = written(path, tmp_path)
    after = probe(sent.path)
    assert order_media.why_encoded(after) is None
    assert abs(after.seconds - probe(path).seconds) < 0.05, "never stretched"
    assert any(str(note).startswith("encoded as H.264: ") for note in sent.notes)


def test_a_clip_for_bright_displays_is_sent_as_everybody_shows_it_and_said_to_be(tmp_path: Path) -> None:
    path = clips.hdr_clip(tmp_path / "phone.mp4", [[0, 0, 0], [203, 203, 203]], clips.HLG, "libx264", 8)
    sent = written(path, tmp_path)
    assert probe(sent.path).hdr is None
    assert "encoded as H.264: it is made for HDR (HLG)" in map(str, sent.notes)
    assert "HLG (HDR) toned down to BT.709" in map(str, sent.notes)


def test_sound_that_not_everybody_hears_is_made_aac(tmp_path: Path) -> None:
    path = clip(tmp_path, sound=tone(3.0))
    out = tmp_path / "pcm.mkv"
    with av.open(str(path)) as source, av.open(str(out), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0], opaque=True)
        pcm = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = copy
                container.mux(packet)
        silent = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 44_100), np.int16), format="s16", layout="stereo")
        silent.sample_rate = 44_100
        container.mux(pcm.encode(silent))
        container.mux(pcm.encode(None))
    sent = written(out, tmp_path)
    with av.open(str(sent.path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert [str(note) for note in sent.notes] == ["encoded as H.264: its sound is pcm_s16le"]


@pytest.mark.parametrize("longer", [True, False])
def test_sound_ends_with_the_pictures(tmp_path: Path, longer: bool) -> None:
    """Copied as well as encoded: a length that only the sound has would be judged, and paid for, as the clip's."""
    path = clip(tmp_path, seconds=2.5)
    out = tmp_path / "long.mp4"
    with av.open(str(path)) as source, av.open(str(out), "w") as container:
        copy = container.add_stream_from_template(source.streams.video[0], opaque=True)
        track = container.add_stream("aac", rate=44_100, layout="stereo")
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = copy
                container.mux(packet)
        for number in range(860 if longer else 43):
            block = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            block.sample_rate, block.pts, block.time_base = 44_100, number * 1024, Fraction(1, 44_100)
            container.mux(track.encode(block))
        container.mux(track.encode(None))
    pictures, sound = length_of(written(out, tmp_path).path)
    assert pictures == 2.5 and sound == pytest.approx(2.5 if longer else 1.0, abs=0.06)
    pictures, sound = length_of(clip(tmp_path, seconds=2.5, sound=tone(20.0 if longer else 1.0)))
    assert pictures == 2.5 and sound == pytest.approx(2.5 if longer else 1.0, abs=0.06)


def test_a_source_that_is_too_long_is_refused_before_any_work(tmp_path: Path) -> None:
    path = other("mpeg4", "yuv420p", count=31 * 8, rate=8)(tmp_path)
    with pytest.raises(InputError) as refused:
        order_media.of_file(path, never_stop, "wan2-6")
    assert "lasts 31.0 s; wan2-6 takes 2 to 30 s" in str(refused.value)
    assert refused.value.charge is Charge.NOT_SENT and "Load Video" in refused.value.advice
    order_media.of_file(path, never_stop, "wan2-6", start_seconds=1.0)


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".flv"])
def test_how_long_a_source_is_is_said_by_its_pictures_not_by_its_sound(suffix: str, tmp_path: Path) -> None:
    codecs = ("libvpx", "libopus", 48_000) if suffix == ".webm" else ("libx264", "aac", 44_100)
    path = _with_sound(tmp_path / f"clip{suffix}", 72, 40.0, *codecs)
    assert length_of(written(path, tmp_path).path) == pytest.approx((3.0, 3.0), abs=0.1)
    order_media.of_file(path, never_stop, "wan2-6", start_seconds=0.5, seconds=60.0)


def _with_sound(out: Path, count: int, seconds: float, codec: str, sound_codec: str, rate: int) -> Path:
    with av.open(str(out), "w") as container:
        video, track = container.add_stream(codec, rate=FPS), container.add_stream(sound_codec, rate=rate)
        video.width, video.height = 64, 48
        for picture in shades(count):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for number in range(round(seconds * rate / 960)):
            block = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), format="flt", layout="stereo")
            block.sample_rate, block.pts, block.time_base = rate, number * 960, Fraction(1, rate)
            container.mux(track.encode(block))
        container.mux(track.encode(None))
    return out


def test_pictures_behind_damage_keep_their_times_in_what_is_sent(tmp_path: Path) -> None:
    """A second in the middle does not decode: what comes behind it must not come a second too soon."""
    path = damaged(tmp_path / "clip.mp4", *range(12, 22))
    part = order_media.of_file(path, never_stop, "wan2-6", start_seconds=0.5)
    sent = decode_frames(part.write(tmp_path, never_stop).path).pixels
    wanted = [5 * (11 if 12 <= number < 22 else number) for number in range(5, 40)]
    assert [round(float(picture.mean()) * 255) for picture in sent] == pytest.approx(wanted, abs=4)


def test_a_model_that_nobody_knows_is_judged_like_the_one_there_is(tmp_path: Path) -> None:
    path = other("mpeg4", "yuv420p", count=31 * 8, rate=8)(tmp_path)
    with pytest.raises(InputError):
        order_media.of_file(path, never_stop, "not-in-the-list")


def test_a_large_source_is_brought_under_the_limit_by_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(3)
    pictures = [noise.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(4 * FPS)]
    path = encode_clip(pictures, FPS, tmp_path / "noise.mp4", preset="ultrafast", crf=10).path
    limit = path.stat().st_size // 3
    monkeypatch.setattr(order_media, "LARGEST_UPLOAD_BYTES", limit)
    sent = written(path, tmp_path)
    assert sent.path.stat().st_size <= limit
    assert probe(sent.path).frame_count == 4 * FPS
    assert "encoded as H.264: it has" in str(sent.notes[0])


def test_the_limit_is_the_gateways() -> None:
    assert order_media.most_bits_a_second(30.0) * 30 / 8 < LARGEST_UPLOAD_BYTES


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
@pytest.mark.parametrize("reordered", [0, 1, 3])
def test_reordered_pictures_are_copied_from_every_container(tmp_path: Path, suffix: str, reordered: int) -> None:
    """Matroska tells no decoding time of the first packets."""
    path = tmp_path / f"reordered{suffix}"
    noise = np.random.default_rng(5)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": str(reordered)})
        stream.width = stream.height = 64
        for number in range(75):
            picture = noise.integers(0, 32, (64, 64, 3), np.uint8) + np.uint8(2 * number)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    sent = written(path, tmp_path)
    assert sent.notes == () and video_packets(sent.path) == video_packets(path)
    with av.open(str(path)) as before, av.open(str(sent.path)) as after:
        assert [picture.to_ndarray(format="gray").tobytes() for picture in before.decode(video=0)] == [
            picture.to_ndarray(format="gray").tobytes() for picture in after.decode(video=0)
        ]


def test_a_clip_that_begins_with_a_lead_in_is_encoded(tmp_path: Path) -> None:
    """A recording of a stream: what comes before its first key frame cannot be decoded by anybody."""
    path = encode_clip(shades(96), FPS, tmp_path / "whole.mp4", preset="ultrafast").path
    out = tmp_path / "cut.mkv"
    clips.copied(path, out, lambda number, packet: [packet] if number else [])
    assert str(copyable(out).why_not) == "it begins inside a group of pictures"


def test_no_half_written_copy_is_left_when_the_work_is_stopped(tmp_path: Path) -> None:
    from nodes.stopping import Stopped

    path = clip(tmp_path, sound=tone(3.0))
    medium = order_media.of_file(path, never_stop, "wan2-6")
    with pytest.raises(Stopped):
        medium.write(tmp_path, lambda: True)
    assert [each.name for each in tmp_path.iterdir()] == ["clip.mp4"]


def test_the_identity_of_a_clip_is_its_file_and_its_part(tmp_path: Path) -> None:
    path = clip(tmp_path)
    whole = order_media.of_file(path, never_stop, "wan2-6").digest
    parts = {order_media.of_file(path, never_stop, "wan2-6", start_seconds=at).digest for at in (0.25, 0.5)}
    assert len(parts | {whole}) == 3


@pytest.mark.parametrize(
    ("when", "what"), [("before", "another clip"), ("before", "gone"), ("meanwhile", "another clip")]
)
def test_a_file_that_is_another_by_the_time_it_is_sent_is_not_sent(tmp_path: Path, when: str, what: str) -> None:
    path = clip(tmp_path)
    (tmp_path / "other").mkdir()
    other, uploads = clip(tmp_path / "other", seconds=4.0), tmp_path / "uploads"
    uploads.mkdir()
    medium = order_media.of_file(path, never_stop, "wan2-6")

    def change() -> bool:
        if path.exists() and path.stat().st_size != other.stat().st_size:
            path.unlink()
            if what == "another clip":
                path.write_bytes(other.read_bytes())
        return False

    if when == "before":
        change()
    with pytest.raises(InputError, match=r"clip\.mp4 has changed, or is gone") as refused:
        medium.write(uploads, change if when == "meanwhile" else never_stop)
    assert refused.value.charge is Charge.NOT_SENT
    assert list(uploads.iterdir()) == []


def test_what_cannot_be_encoded_here_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    nothing = (replace(X264, name="libnothing"),)
    with pytest.raises(NoEncoder, match=r"cannot write H\.264"):
        order_media.of_file(NOT_FOR_EVERYBODY["MPEG-4"](tmp_path), never_stop, "wan2-6", encoders=nothing)
    order_media.of_file(clip(tmp_path), never_stop, "wan2-6", encoders=nothing)  # its packets are copied


def test_no_clip_goes_as_it_is_that_runs_faster_than_everybody_plays(tmp_path: Path) -> None:
    """A slow-motion recording: most pictures 120 a second, still long enough for a mean of 30."""
    moments = [*(n / 120 for n in range(120)), *(1 + n / 10 for n in range(50))]
    path = tmp_path / "burst.mp4"
    encode_clip(shades(170), 170 / 6, path, preset="ultrafast", moments=moments)
    sent = probe(written(path, tmp_path).path)
    assert sent.frame_count is not None and sent.frame_count >= 300  # 6 s at the even rate of most of them, 60
