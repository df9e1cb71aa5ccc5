"""Pen marks on a thumbnail: where ink covers glass or tissue.

Ink is told from tissue of the same hue by three things that a marker has and a stain has not:
its strokes are solid, they are even, and paler shades of the ink are rare. A blue or green stain
(Alcian blue, Masson) has all shades at once, and its texture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.tissue.background import BrightField, Image, Mask
from wsi_features.tissue.cleanup import disc, pieces_of

LEAST_STROKE_UM2 = 20_000.0
"""Smaller spots of an ink's colour are not looked at; they are smaller than the least piece of tissue."""

_STROKE_UM, _RIM_UM = 56.0, 32.0
"""Least width of a stroke, and the width of its edge, where ink and what lies below mix."""

_EVEN, _UNEVEN = 13.0, 30.0
"""Median difference of neighbours in an even stroke, and the most that tissue under ink leaves of it (of 255)."""

_OPAQUE = 70.0
"""Ink over tissue is at most this bright in its darkest colour (of 255)."""

_SHADES = 0.6
"""With more pale pixels of its hue than this, in strokes' areas, a colour belongs to the stain."""


@dataclass(frozen=True, slots=True)
class _Ink:
    """A range of hue in degrees / 2, as OpenCV counts, and the least saturation of a stroke and of its pale shades."""

    low: int
    high: int
    saturation: int
    pale: int = 38


# Haematoxylin begins at 245 degrees, eosin ends at 345; strokes over tissue are shifted towards them.
_INKS = (_Ink(97, 125, 128), _Ink(37, 93, 102), _Ink(172, 188, 150))
_BLACK_VALUE, _BLACK_CHROMA, _PALE_BLACK = 78, 34, 200


def ink_of(field: BrightField, mpp: float) -> Mask:
    """Where there is ink, bool (h, w), with the edge of each stroke; `mpp` is microns per pixel."""
    import cv2

    hsv = np.asarray(cv2.cvtColor(field.rgb, cv2.COLOR_RGB2HSV), np.uint8)
    shades = [_coloured(hsv, ink) for ink in _INKS] + [_dark(hsv, field)]
    coloured = np.logical_or.reduce([strong for strong, _ in shades])
    if coloured.sum() * mpp**2 < LEAST_STROKE_UM2:
        return np.zeros(coloured.shape, np.bool_)
    strokes = np.logical_or.reduce([_strokes(field, strong, pale, mpp) for strong, pale in shades])
    if not strokes.any():
        return strokes
    labels, _ = pieces_of(coloured | strokes, connectivity=8)
    touched = np.zeros(int(labels.max()) + 1, np.bool_)
    touched[labels[strokes]] = True
    touched[0] = False
    near = _grown(strokes, 4 * _RIM_UM / mpp)
    return _grown(touched[labels] & near, _RIM_UM / mpp)


def _coloured(hsv: Image, ink: _Ink) -> tuple[Mask, Mask]:
    """Pixels of one ink's hue: as saturated as a stroke, and paler."""
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    right = (hue >= ink.low) & (hue <= ink.high)
    if ink.high > 179:
        right |= hue <= ink.high - 180
    right &= value > _BLACK_VALUE // 2
    strong = right & (saturation >= ink.saturation)
    return strong, right & (saturation >= ink.pale) & ~strong


def _dark(hsv: Image, field: BrightField) -> tuple[Mask, Mask]:
    """Black pixels, and grey ones. Black fill is as even as ink and no more tissue than it."""
    value = hsv[..., 2]
    grey = value - field.darkest <= _BLACK_CHROMA
    strong = (value <= _BLACK_VALUE) & grey
    return strong, grey & (value <= _PALE_BLACK) & ~strong


def _strokes(field: BrightField, strong: Mask, pale: Mask, mpp: float) -> Mask:
    """The solid, even pieces among `strong` pixels."""
    import cv2

    radius = max(1, round(_STROKE_UM / mpp / 2))
    solid = np.asarray(cv2.morphologyEx(strong.view(np.uint8), cv2.MORPH_OPEN, disc(radius)), np.bool_)
    labels, areas = pieces_of(solid, connectivity=8)
    large = np.flatnonzero(areas * mpp**2 >= LEAST_STROKE_UM2)
    found = np.zeros(len(areas), np.bool_)
    if not large[large > 0].size:
        return np.zeros(strong.shape, np.bool_)
    beyond = pale & ~_grown(solid, _RIM_UM / mpp)
    stain = bool(beyond.sum() > _SHADES * solid.sum())
    for piece in large[large > 0]:
        inside = labels == piece
        found[piece] = _is_even(field.rough[inside], field.darkest[inside], stain=stain)
    return found[labels]


def _is_even(rough: Image, darkest: Image, *, stain: bool) -> bool:
    unevenness = float(np.median(rough))
    if unevenness <= _EVEN:
        return True
    return not stain and unevenness <= _UNEVEN and float(np.median(darkest)) <= _OPAQUE


def _grown(mask: Mask, radius: float) -> Mask:
    import cv2

    return np.asarray(cv2.dilate(mask.view(np.uint8), disc(max(1, round(radius)))), np.bool_)
