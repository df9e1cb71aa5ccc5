"""A whole slide at a low resolution, read from the nearest finer level in bands of bounded memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TileReadError
from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import Level, Slide

_BAND_PIXELS = 16_000_000


def thumbnail(slide_id: str, slide: Slide, native: float, wanted: float) -> npt.NDArray[np.uint8]:
    """The slide at about `wanted` um/px (`native` is level 0's), uint8 (h, w, 3), never upsampled.

    The whole slide maps onto the whole thumbnail: scale x is slide width / thumbnail width. Parts
    that were never scanned are white. Raises TileReadError when a part cannot be decoded.
    """
    import cv2

    shrink = max(1.0, wanted / native)
    whole = slide.levels[0].size
    size = Size(max(1, round(whole.width / shrink)), max(1, round(whole.height / shrink)))
    level = max(i for i, found in enumerate(slide.levels) if i == 0 or found.downsample <= shrink)
    rows = _row_bands(slide.levels[level], size)
    bands = []
    for top, bottom, out_rows in rows:
        region = Region(0, top, slide.levels[level].size.width, bottom - top)
        pixels = slide.read(region, level)
        if pixels.status == "unreadable":
            raise TileReadError.overview(slide_id, level, top, pixels.reason)
        bands.append(cv2.resize(pixels.rgb, (size.width, out_rows), interpolation=cv2.INTER_AREA))
    return np.concatenate(bands)


def _row_bands(level: Level, size: Size) -> list[tuple[int, int, int]]:
    """Top and bottom in level rows and the thumbnail rows of each band; borders fall between thumbnail rows."""
    count = max(1, min(size.height, -(-level.size.area // _BAND_PIXELS)))
    cuts = [size.height * i // count for i in range(count + 1)]
    edges = [round(cut * level.size.height / size.height) for cut in cuts]
    return [
        (top, bottom, last - first)
        for top, bottom, first, last in zip(edges, edges[1:], cuts, cuts[1:], strict=False)
        if last > first
    ]
