"""A contact sheet: pictures from the whole of a clip, on one image."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from .decode import spread_pictures

_COLUMNS, _MOST_ROWS = 5, 4
_TILE_SIDE_PIXELS = 320


def contact_sheet(path: Path, out: Path) -> None:
    """Write an image of 5 x 4 pictures spread evenly over a clip, fewer rows of a short one. Raises NotAClip."""
    tiles = [Image.fromarray(each) for each in spread_pictures(path, _COLUMNS * _MOST_ROWS, max_side=_TILE_SIDE_PIXELS)]
    width, height = tiles[0].size
    sheet = Image.new("RGB", (_COLUMNS * width, -(-len(tiles) // _COLUMNS) * height))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % _COLUMNS * width, number // _COLUMNS * height))
    sheet.save(out)
