"""Three shots from one sentence on the rehearsal gateway, through the code the nodes use: no key, no ComfyUI, no torch.

    python -m nodes.demo [folder]

text -> video -> last frame -> next video -> a part of it; then the first job once more, to show that it is free.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .gateway.models import IMAGE_TO_VIDEO, TEXT_TO_VIDEO
from .jobs import order_media
from .jobs.order import Order
from .jobs.work import Result, Ticket
from .media.decode import Span, decode_frames, decode_last_frame
from .media.encode import trim_clip
from .media.probe import probe
from .media.sheet import contact_sheet
from .rehearsal.server import RehearsalGateway
from .service import Folders, Service

_SENTENCE = "A racing yacht slicing through bright turquoise water."
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Row:
    """One line of the table at the end."""

    step: str
    state: str
    seconds: float
    credits: float
    requests: int


class Demo:
    """Runs orders and keeps the books: what each cost, and how many requests it took."""

    def __init__(self, service: Service, gateway: RehearsalGateway, tell: Callable[[str], None]) -> None:
        self._service = service
        self._gateway = gateway
        self._tell = tell
        self.rows: list[Row] = []

    def run(self, step: str, order: Order) -> Result:
        """One job to its end, with its progress told as it changes."""
        begun, before, charged = time.monotonic(), len(self._gateway.record.requests), self._charged()
        ticket = self._service.runner().submit(order)
        self._follow(step, ticket)
        result = ticket.result()
        self.rows.append(
            Row(
                step,
                result.job.state.value,
                time.monotonic() - begun,
                self._charged() - charged,
                len(self._gateway.record.requests) - before,
            )
        )
        return result

    def _charged(self) -> float:
        return float(self._gateway.record.charges())

    def _follow(self, step: str, ticket: Ticket) -> None:
        shown = ""
        while not ticket.wait(_TICK_SECONDS):
            if (text := ticket.status().text) != shown:
                shown = text
                self._tell(f"  {step}: {text}")


def main(folder: Path) -> None:
    """Runs the chain; leaves MP4s and a contact sheet in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as state,
        RehearsalGateway(Path(state) / "rehearsal", seconds_per_task=3.0) as gateway,
    ):
        environ = {"APIMALL_BASE_URL": gateway.base_url, "APIMALL_API_KEY": "sk-rehearsal-demo"}
        service = Service(Folders(Path(state), folder), environ)
        try:
            _chain(Demo(service, gateway, print), folder)
        finally:
            service.close()


def _chain(demo: Demo, folder: Path) -> None:
    print(f"Rehearsal, no credits are spent: {_SENTENCE}")
    first = demo.run("text to video", Order("wan2-6", TEXT_TO_VIDEO, _SENTENCE, "5", "720p"))
    frames = decode_frames(first.path, Span(max_frames=24))
    last = decode_last_frame(first.path)
    shot = Order(
        "wan2-6",
        IMAGE_TO_VIDEO,
        "The camera moves closer.",
        "5",
        "720p",
        references=(order_media.of_picture(last[0], "wan2-6"),),
    )
    second = demo.run("image to video", shot)
    part = trim_clip(second.path, folder / "part.mp4", Span(start_seconds=2.0, max_side=640))
    demo.run("text to video, again", Order("wan2-6", TEXT_TO_VIDEO, _SENTENCE, "5", "720p"))
    contact_sheet(first.path, folder / "contact-sheet.png")
    _print_table(demo.rows)
    clip = probe(first.path)
    print(f"\n{first.path}: {clip.width}x{clip.height}, {clip.seconds:.1f} s at {clip.fps:g} frames a second")
    print(
        f"frames: {frames.pixels.shape} {frames.pixels.dtype}, {frames.pixels.min():.2f} to {frames.pixels.max():.2f}"
    )
    print(f"{second.path}: starts from the last frame of the first")
    print(f"{part.path}: {part.seconds:.1f} s of it, {part.width}x{part.height}")
    print(folder / "contact-sheet.png")


def _print_table(rows: list[Row]) -> None:
    print(f"\n{'job':<22}{'state':<12}{'seconds':>8}{'credits':>9}{'requests':>10}")
    for row in rows:
        print(f"{row.step:<22}{row.state:<12}{row.seconds:>8.2f}{row.credits:>9g}{row.requests:>10}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output"))
