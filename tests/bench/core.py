"""ComfyUI's own code, by the interpreter of a ComfyUI, in a process of its own."""

from __future__ import annotations

import importlib
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from tests.bench.clips import KINDS
from tests.bench.meter import Meter
from tests.bench.writers import floats


def components(host: str, path: str, tiny: str, threads: bool = False) -> dict[str, Any]:
    """VideoFromFile(path).get_components(). `threads`: with the line that ComfyUI 0.38 adds to the same loop."""
    source = _video_types(host).VideoFromFile
    if threads:
        source = _with_threads(source)
    source(tiny).get_components()
    with Meter() as meter:
        found = source(path).get_components()
    return meter.sample(shape=list(found.images.shape), mean=float(found.images[0].mean()))


def save(host: str, kind: str, pictures: str, out: str, crf: int | None = None) -> dict[str, Any]:
    """VideoFromComponents(...).save_to(out): frames of a clip of `kind` as H.264."""
    types = _video_types(host)
    torch = importlib.import_module("torch")
    util = importlib.import_module("comfy_api.latest._util")
    images = torch.from_numpy(floats(pictures))
    parts = util.VideoComponents(images=images, audio=None, frame_rate=Fraction(KINDS[kind].fps))
    video = types.VideoFromComponents(parts)
    more = {} if crf is None else {"crf": crf}
    with Meter() as meter:
        video.save_to(out, **more)
    return meter.sample(bytes=Path(out).stat().st_size)


def takes_crf(host: str) -> dict[str, Any]:
    """Whether this core can be told how good to encode."""
    import inspect

    return {"wall": 0.0, "crf": "crf" in inspect.signature(_video_types(host).VideoFromComponents.save_to).parameters}


def lacks_threads(host: str) -> dict[str, Any]:
    """Whether this core reads with PyAV's default threads, and has the loop that 0.38 has but for that line."""
    types = _video_types(host)
    text = Path(types.__file__).read_text(encoding="utf-8")
    fits = "thread_type" not in text and hasattr(types.VideoFromFile, "_get_first_video_stream")
    return {"wall": 0.0, "lacks": fits}


def _with_threads(plain: Any) -> Any:
    class Threaded(plain):  # type: ignore[misc]
        def _get_first_video_stream(self, container: Any) -> Any:
            stream = super()._get_first_video_stream(container)
            stream.thread_type = "AUTO"
            return stream

    return Threaded


def _video_types(host: str) -> Any:
    """The module of that ComfyUI; from here on this process imports ComfyUI's modules before the pack's."""
    sys.path.insert(0, host)
    sys.argv = ["main.py", "--cpu"]
    importlib.import_module("comfy.options").enable_args_parsing()
    return importlib.import_module("comfy_api.latest._input_impl.video_types")
