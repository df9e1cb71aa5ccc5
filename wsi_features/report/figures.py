"""The pictures of one slide: what was taken as tissue and tiles, and how the features vary over it.

Each picture is drawn on the thumbnail, which shows the whole slide, and comes as PNG
bytes. A tile covers a half-open box of thumbnail pixels, with its edges rounded: tiles
that touch on the slide touch in the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size, SlidePx
from wsi_features.report.components import component_colours

__all__ = [
    "component_colours",
    "component_map",
    "encoded",
    "fitted_thumbnail",
    "grid_is_drawn",
    "outline_figure",
    "thumbnail_boxes",
    "tissue_outlined",
]

Rgb = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

OUTLINE = (0, 92, 230)
"""Blue, in a white casing: unlike H&E and DAB for every kind of colour vision, and seen on dark and on light."""

_LINE = (20, 20, 20)
_HATCH_LIGHT, _HATCH_DARK = 214, 120


def outline_figure(
    thumbnail: Rgb, mask: Bools, origins: Ints, span: SlidePx, slide: Size, *, mask_scale: float | None = None
) -> bytes:
    """The thumbnail with the outline of the tissue and the grid of tiles, as PNG.

    `thumbnail` uint8 (h, w, 3) and `mask` bool (any h, w) cover the slide of `slide` level-0
    pixels; a mask whose last row or column reaches beyond it needs its `mask_scale`, in level-0
    pixels per mask pixel. `origins` int64 (n, 2) are level-0 x, y of tiles `span` wide.
    """
    shape = (thumbnail.shape[0], thumbnail.shape[1])
    boxes = thumbnail_boxes(origins, span, slide, shape)
    canvas = thumbnail.copy()
    if grid_is_drawn(span, slide, shape[1]):
        # Fainter where lines stand close, so that a fine grid still shows the tissue.
        _blend(canvas, _grid_lines(boxes, shape), _LINE, min(0.45, 0.05 * span * shape[1] / slide.width))
    else:
        _blend(canvas, _covered(boxes, shape), OUTLINE, 0.2)
    return encoded(tissue_outlined(canvas, mask, slide, mask_scale=mask_scale), "png")


def tissue_outlined(picture: Rgb, mask: Bools, slide: Size, *, mask_scale: float | None = None) -> Rgb:
    """A copy of the picture (h, w, 3) of a whole slide with the outline of the tissue; arguments as of `outline_figure`."""
    outlined = picture.copy()
    line, casing = _outline(_mask_on_thumbnail(mask, mask_scale, slide, (picture.shape[0], picture.shape[1])))
    outlined[casing] = 255
    outlined[line] = OUTLINE
    return outlined


def component_map(
    thumbnail: Rgb, origins: Ints, span: SlidePx, slide: Size, colours: Rgb, valid: Bools | None = None
) -> bytes:
    """The tiles in their colours, uint8 (n, 3), over the faded thumbnail, as PNG.

    Where tiles overlap, their colours are averaged. Tiles that are not `valid` (n,) are
    hatched in grey, except where a valid one lies over them.
    """
    shape = (thumbnail.shape[0], thumbnail.shape[1])
    known = np.ones(len(origins), np.bool_) if valid is None else valid
    boxes = thumbnail_boxes(origins, span, slide, shape)
    sums = _sums(boxes[known], np.column_stack([colours[known], np.ones(np.count_nonzero(known))]), shape)
    canvas = _faded(thumbnail)
    hatched = _covered(boxes[~known], shape)
    canvas[hatched] = _hatch(shape)[hatched]
    painted = sums[:, :, 3] > 0
    canvas[painted] = np.rint(sums[painted, :3] / sums[painted, 3:]).astype(np.uint8)
    return encoded(canvas, "png")


def thumbnail_boxes(origins: Ints, span: SlidePx, slide: Size, shape: tuple[int, int]) -> Ints:
    """Half-open boxes (n, 4), x0, y0, x1, y1, in a thumbnail of `shape` (h, w); each at least one pixel."""
    limit = np.array([shape[1], shape[0]])
    scale = limit / np.array([slide.width, slide.height])
    low = np.clip(np.floor(origins * scale + 0.5), 0, limit - 1)
    high = np.clip(np.floor((origins + span) * scale + 0.5), low + 1, limit)
    return np.concatenate([low, high], axis=1).astype(np.int64)


def grid_is_drawn(span: SlidePx, slide: Size, width: int) -> bool:
    """Whether tiles get lines on a thumbnail `width` pixels wide; below 3 pixels lines would hide the tissue."""
    return span * width / slide.width >= 3


def fitted_thumbnail(image: Rgb, longest: int = 900) -> Rgb:
    """The image with its longer side at most `longest` pixels, never enlarged: reports stay small enough to mail."""
    import cv2

    height, width = image.shape[:2]
    shrink = max(height, width) / longest
    if shrink <= 1:
        return image
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def encoded(image: Rgb, kind: str) -> bytes:
    """The RGB image as `png`, or as `jpeg` of quality 85 with full colour resolution."""
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, data = cv2.imencode(f".{kind}", image[:, :, ::-1], quality if kind == "jpeg" else [])
    return bytes(data)


def decoded(data: bytes) -> Rgb:
    """The RGB image (h, w, 3) of a PNG or JPEG. Raises ValueError when it is neither."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise ValueError(f"not a PNG or JPEG image: {data[:8]!r}")
    return image.astype(np.uint8, copy=False)


def _sums(boxes: Ints, values: npt.NDArray[Any], shape: tuple[int, int]) -> Ints:
    """Sum at every pixel of the values (n, c) of all boxes over it, (h, w, c).

    Each box marks its four corners and two running sums spread them: the time hardly
    depends on the number of tiles.
    """
    x0, y0, x1, y1 = boxes.T
    corners = np.zeros((shape[0] + 1, shape[1] + 1, values.shape[1]), np.int64)
    for rows, columns, sign in ((y0, x0, 1), (y1, x1, 1), (y0, x1, -1), (y1, x0, -1)):
        np.add.at(corners, (rows, columns), sign * values.astype(np.int64))
    summed: Ints = corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
    return summed


def _blend(canvas: Rgb, where: Bools, colour: tuple[int, int, int], share: float) -> None:
    """Mix `share` of the colour into the marked pixels of the canvas."""
    canvas[where] = np.rint(canvas[where] * (1 - share) + np.multiply(colour, share)).astype(np.uint8)


def _covered(boxes: Ints, shape: tuple[int, int]) -> Bools:
    """Pixels (h, w) under any box."""
    return np.asarray(_sums(boxes, np.ones((len(boxes), 1)), shape)[:, :, 0] > 0)


def _grid_lines(boxes: Ints, shape: tuple[int, int]) -> Bools:
    """One-pixel lines around the boxes; neighbours share theirs, since a box's far lines are its neighbour's near ones."""
    x0, y0, x1, y1 = boxes.T
    right, bottom = np.minimum(x1, shape[1] - 1), np.minimum(y1, shape[0] - 1)
    sides = [(x0, y0, right + 1, y0 + 1), (x0, bottom, right + 1, bottom + 1)]
    sides += [(x0, y0, x0 + 1, bottom + 1), (right, y0, right + 1, bottom + 1)]
    return _covered(np.concatenate([np.column_stack(side) for side in sides]), shape)


def _mask_on_thumbnail(mask: Bools, mask_scale: float | None, slide: Size, shape: tuple[int, int]) -> Bools:
    """The mask at the thumbnail's pixels: each takes the mask pixel under its centre, and none beyond the mask."""
    height, width = mask.shape
    per_row, per_column = (mask_scale, mask_scale) if mask_scale else (slide.height / height, slide.width / width)
    rows = ((np.arange(shape[0]) + 0.5) * (slide.height / shape[0]) / per_row).astype(np.int64)
    columns = ((np.arange(shape[1]) + 0.5) * (slide.width / shape[1]) / per_column).astype(np.int64)
    inside = (rows < height)[:, None] & (columns < width)
    under = mask[np.minimum(rows, height - 1)[:, None], np.minimum(columns, width - 1)]
    return np.asarray(inside & under)


def _outline(mask: Bools) -> tuple[Bools, Bools]:
    """A line two pixels wide along the border of the mask, half inside and half outside, and one around the line.

    The picture's edge is a border too: tissue that is cut off there is closed by a line.
    """
    import cv2

    padded = np.pad(mask, 1).astype(np.uint8)
    block = np.ones((3, 3), np.uint8)
    line = cv2.morphologyEx(padded, cv2.MORPH_GRADIENT, block)
    casing = cv2.dilate(line, block)
    return line[1:-1, 1:-1] > 0, casing[1:-1, 1:-1] > 0


def _faded(thumbnail: Rgb) -> Rgb:
    """Grey and light: a map to stand on that has no colour of its own."""
    grey = thumbnail @ np.array([0.299, 0.587, 0.114])
    light = np.rint(255 - 0.45 * (255 - grey)).astype(np.uint8)
    return np.repeat(light[:, :, None], 3, axis=2)


def _hatch(shape: tuple[int, int]) -> Rgb:
    """Diagonal grey stripes (h, w, 3)."""
    diagonal = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 6 < 2
    return np.repeat(np.where(diagonal, _HATCH_DARK, _HATCH_LIGHT).astype(np.uint8)[:, :, None], 3, axis=2)
