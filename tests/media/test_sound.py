"""Sound: to the sample, without pictures, silence where there is none."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from nodes.media import source
from nodes.media.decode import Sound, Span, decode_audio, decode_frames
from nodes.media.encode import encode_clip, trim_clip
from nodes.media.errors import TooLarge
from tests.support import clips

RATE = 48_000


def _sweep(seconds: float, rate: int = RATE, channels: int = 2) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A tone that rises, so that no moment sounds like another."""
    t = np.arange(round(seconds * rate)) / rate
    tones = [0.5 * np.sin(2 * np.pi * (200 + 150 * channel + 400 * t) * t) for channel in range(channels)]
    return np.stack(tones).astype(np.float32)


def _with_sound(
    path: Path,
    samples: np.ndarray[Any, Any],
    codec: str,
    *,
    rate: int = RATE,
    delay_seconds: Fraction = Fraction(0),
    video_delay_seconds: Fraction = Fraction(0),
) -> Path:
    """25 pictures (one second) and a track."""
    clips.require_encoder(codec)
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[samples.shape[0]]
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        track: Any = container.add_stream(codec, rate=rate, layout=layout)
        packets = []
        for number, picture in enumerate(clips.numbered_pictures(25)):
            picture.pts, picture.time_base = number + round(video_delay_seconds * 25), Fraction(1, 25)
            packets += video.encode(picture)
        packets += video.encode(None)
        form = track.codec_context.format.name
        for begin in range(0, samples.shape[1], 1000):
            block = np.ascontiguousarray(samples[:, begin : begin + 1000])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts, frame.time_base = begin + round(delay_seconds * rate), Fraction(1, rate)
            resampler = av.AudioResampler(format=form, layout=layout, rate=rate)
            for ready in resampler.resample(frame):
                packets += track.encode(ready)
        packets += track.encode(None)
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        container.mux(packets)
    return path


@pytest.mark.parametrize(("suffix", "channels"), [(".mov", 1), (".mov", 2), (".mkv", 2), (".mov", 6)])
def test_uncompressed_sound_comes_back_sample_by_sample(suffix: str, channels: int, tmp_path: Path) -> None:
    samples = _sweep(1.0, channels=channels)
    path = _with_sound(tmp_path / f"clip{suffix}", samples, "pcm_s16le")
    sound = decode_audio(path)
    assert sound.sample_rate == RATE
    assert sound.samples.shape == (1, channels, RATE)
    assert sound.samples.dtype == np.float32
    assert np.abs(sound.samples[0] - samples).max() < 1e-4


@pytest.mark.parametrize("start", [0.0, 0.04, 0.52, 0.7313])
def test_a_part_begins_and_ends_on_its_sample(start: float, tmp_path: Path) -> None:
    samples = _sweep(1.0)
    path = _with_sound(tmp_path / "clip.mov", samples, "pcm_s16le")
    sound = decode_audio(path, start, 0.2)
    begin = round(start * RATE)
    assert sound.samples.shape == (1, 2, 9600)
    assert np.abs(sound.samples[0] - samples[:, begin : begin + 9600]).max() < 1e-4


def test_compressed_sound_is_cut_where_uncompressed_sound_would_be(tmp_path: Path) -> None:
    samples = _sweep(2.0)
    path = _with_sound(tmp_path / "clip.mp4", samples, "aac")
    part = decode_audio(path, 1.0, 0.5).samples[0]
    errors = [np.abs(part - samples[:, RATE + shift :][:, : part.shape[1]]).mean() for shift in range(-40, 41)]
    assert int(np.argmin(errors)) == 40
    assert np.abs(part - decode_audio(path).samples[0, :, RATE : RATE + part.shape[1]]).max() < 1e-3


def test_sound_that_begins_later_than_the_pictures_is_preceded_by_silence(tmp_path: Path) -> None:
    samples = _sweep(0.6)
    path = _with_sound(tmp_path / "late.mov", samples, "pcm_s16le", delay_seconds=Fraction(1, 4))
    sound = decode_audio(path, 0.0, 1.0).samples[0]
    assert sound.shape == (2, RATE)
    assert not sound[:, :12000].any()
    assert np.abs(sound[:, 12000:40800] - samples).max() < 1e-4
    assert not sound[:, 40800:].any()


def test_sound_that_begins_before_the_pictures_is_counted_from_the_first_picture(tmp_path: Path) -> None:
    samples = _sweep(1.0)
    path = _with_sound(tmp_path / "early.mkv", samples, "pcm_s16le", video_delay_seconds=Fraction(1, 5))
    sound = decode_audio(path, 0.0, 0.5).samples[0]
    assert np.abs(sound - samples[:, 9600 : 9600 + 24000]).max() < 1e-4


@pytest.mark.parametrize(
    ("start", "seconds", "samples"), [(0.0, None, 88_200), (0.5, None, 66_150), (0.5, 0.3, 13_230)]
)
def test_a_clip_without_a_track_gives_silence_of_the_right_length(
    start: float, seconds: float | None, samples: int, tmp_path: Path
) -> None:
    path = clips.write_clip(tmp_path / "silent.mp4", clips.numbered_pictures(50), "libx264")
    sound = decode_audio(path, start, seconds)
    assert sound.sample_rate == 44_100
    assert sound.samples.shape == (1, 2, samples)
    assert not sound.samples.any()


def test_a_length_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    path = clips.write_clip(tmp_path / "silent.mp4", clips.numbered_pictures(2), "libx264")
    with pytest.raises(TooLarge, match="samples of sound in 2 channels need"):
        decode_audio(path, 0.0, 1e9)


def test_no_picture_is_decoded_for_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _with_sound(tmp_path / "clip.mov", _sweep(1.0), "pcm_s16le")

    def refusing(*_: object) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(source.Source, "decode", refusing)
    assert decode_audio(path, 0.2, 0.4).samples.shape == (1, 2, 19_200)


def test_sound_fits_the_frames_of_the_same_span(tmp_path: Path) -> None:
    path = _with_sound(tmp_path / "clip.mov", _sweep(1.0), "pcm_s16le")
    frames = decode_frames(path, Span(start_seconds=0.32, every_nth=2, max_frames=5))
    sound = decode_audio(path, frames.start_seconds, frames.seconds)
    assert sound.samples.shape[2] / sound.sample_rate == pytest.approx(frames.seconds)
    assert np.abs(sound.samples[0] - _sweep(1.0)[:, 15360 : 15360 + 19200]).max() < 1e-4


@pytest.mark.parametrize(
    ("rate", "channels"), [(48_000, 2), (44_100, 1), (22_050, 2), (11_111, 2), (48_000, 6), (48_000, 9)]
)
def test_a_clip_we_write_keeps_its_sound_in_time(rate: int, channels: int, tmp_path: Path) -> None:
    samples = _sweep(1.0, rate, channels)
    pictures = np.zeros((25, 32, 32, 3), np.float32)
    encode_clip(pictures, 25, tmp_path / "ours.mp4", sound=Sound(samples[None], rate))
    heard = decode_audio(tmp_path / "ours.mp4", 0.0, 1.0)
    assert heard.sample_rate == (rate if rate != 11_111 else 48_000)
    assert heard.samples.shape[1] == (channels if channels != 9 else 2)
    if heard.sample_rate == rate:
        part = slice(round(rate * 0.3), round(rate * 0.6))
        mean = [np.abs(np.roll(heard.samples[0, 0], s)[part] - samples[0, part]).mean() for s in range(-5, 6)]
        assert int(np.argmin(mean)) == 5
        assert min(mean) < 0.02


def test_a_trimmed_clip_holds_the_frames_and_the_sound_of_its_span(tmp_path: Path) -> None:
    path = _with_sound(tmp_path / "clip.mov", _sweep(1.0), "pcm_s16le")
    span = Span(start_seconds=0.4, every_nth=3, max_frames=4)
    clip = trim_clip(path, tmp_path / "trimmed.mp4", span)
    frames = decode_frames(path, span)
    written = decode_frames(clip.path)
    assert clips.numbers_of(written.pixels) == [10, 13, 16, 19]
    assert written.fps == pytest.approx(frames.fps)
    assert clip.has_audio
    heard = decode_audio(clip.path, 0.0, frames.seconds).samples[0]
    assert np.abs(heard - _sweep(1.0)[:, 19200 : 19200 + heard.shape[1]])[:, 3000:-3000].mean() < 0.02


@pytest.mark.parametrize("channels", [8, 9, 16])
def test_tracks_of_many_channels_come_whole(channels: int, tmp_path: Path) -> None:
    """PyAV reads on in foreign memory when it is asked for more than eight channels one by one."""
    samples = (np.arange(RATE * channels) % 30_000).astype(np.int16).reshape(RATE, channels)
    with av.open(str(tmp_path / "many.mkv"), "w") as container:
        track: Any = container.add_stream("pcm_s16le", rate=RATE, layout=f"{channels} channels")
        for begin in range(0, RATE, 1000):
            frame = av.AudioFrame(format="s16", layout=f"{channels} channels", samples=1000)
            frame.planes[0].update(samples[begin : begin + 1000].tobytes())
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            container.mux(track.encode(frame))
    sound = decode_audio(tmp_path / "many.mkv")
    assert np.array_equal(np.rint(sound.samples[0].T * 32768), samples)
    assert sound.samples.flags.c_contiguous
