"""A contact sheet: pictures from the whole of a clip, on one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .decode import spread_pictures


def contact_sheet(path: Path, out: Path, columns: int = 5, rows: int = 4, tile_side: int = 320) -> None:
    """Write an image of columns x rows pictures spread evenly over a clip. Raises NotAClip."""
    import imageio.v3 as imageio  # slow to import, and only wanted here

    tiles = spread_pictures(path, columns * rows, max_side=tile_side)
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = tile
    imageio.imwrite(out, sheet)
