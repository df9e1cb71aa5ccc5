"""Pen marks on a thumbnail: where ink covers glass or tissue.

Ink is told from tissue of the same hue by three things that a marker has and a stain has not:
its strokes are solid, they are even, and paler shades of the ink are rare. A blue or green stain
(Alcian blue, Masson) has all shades at once, and its texture.
"""

from __future__ import annotations

import numpy as np

from wsi_features.tissue.background import BrightField, Image, Mask
from wsi_features.tissue.cleanup import disc, pieces_of

LEAST_STROKE_UM2 = 4_000.0
"""Smaller spots of an ink's colour are not looked at; they are smaller than the least piece of tissue."""

_STROKE_UM, _RIM_UM = 20.0, 32.0
"""Least width of a stroke, and the width of its edge, where ink and what lies below mix."""

_EVEN, _UNEVEN, _PARTLY = 13.0, 26.0, 9.5
"""Differences of neighbours (of 255): the median in an even stroke; what a tenth of a stroke that is thin or over tissue
must stay below, as most of a thin stroke is its edges; and the same for ink of the stain's own hue, partly on glass.
Measured: ink on glass 6 to 9, through it tissue 15 to 23; deep blue, green or red tissue 18 to 21, a tenth of it 11 to 14."""

_OPAQUE = 70.0
"""Ink over tissue is at most this bright in its darkest colour (of 255)."""

_SHADES = 0.6
"""With more pale pixels of its hue than this, in strokes' areas, a colour belongs to the stain."""


# Haematoxylin begins at 245 degrees of hue, eosin ends at 345. OpenCV counts degrees / 2 and takes 0 to 255 for the rest.
_HUES = ((97, 125, 128), (37, 93, 102), (172, 179, 150), (0, 8, 150))
"""Least and greatest hue of blue, green and red ink (the last two) and the least saturation of a stroke."""

_PALE, _LEAST_VALUE = 38, 40
"""Least saturation of the paler shades of a hue; and the least value in which a hue can be told."""

_BLACK_VALUE, _BLACK_CHROMA, _PALE_BLACK = 78, 26, 200
"""Black ink is at most this bright and coloured; grey tissue is paler, up to the last."""


def ink_of(field: BrightField, mpp: float) -> Mask:
    """Where there is ink, bool (h, w), with the edge of each stroke; `mpp` is microns per pixel."""
    import cv2

    least = LEAST_STROKE_UM2 / mpp**2
    shades = [(strong, pale) for strong, pale in _shades(field) if np.count_nonzero(strong) >= least]
    strokes = np.zeros(field.darkest.shape, np.bool_)
    for strong, pale in shades:
        strokes |= _strokes(field, strong, pale, mpp)
    if not strokes.any():
        return strokes
    labels, _ = pieces_of(np.logical_or.reduce([strokes, *(strong for strong, _ in shades)]), connectivity=8)
    touched = np.zeros(int(labels.max()) + 1, np.bool_)
    touched[labels[strokes]] = True
    reach = 2 * round(4 * _RIM_UM / mpp) + 1  # a square, which takes much less time than a disc
    near = cv2.dilate(strokes.view(np.uint8), np.ones((reach, reach), np.uint8)).view(np.bool_)
    near &= np.take(touched, labels, mode="clip")
    return _grown(near, _RIM_UM / mpp)


def _shades(field: BrightField) -> list[tuple[Mask, Mask]]:
    """For each ink its strong pixels and the paler ones of its hue, bool (h, w)."""
    import cv2

    hsv = np.asarray(cv2.cvtColor(field.rgb, cv2.COLOR_RGB2HSV), np.uint8)
    hues = []
    for low, high, strong in _HUES:
        every = cv2.inRange(hsv, np.array((low, _PALE, _LEAST_VALUE)), np.array((high, 255, 255)))
        hues.append((np.asarray(every) > 0, hsv[..., 1] >= strong))
    red = (hues[2][0] | hues[3][0], hues[2][1])  # both ends of the circle of hues
    found = [(shade & deep, shade & ~deep) for shade, deep in (*hues[:2], red)]
    grey = field.brightest - field.darkest <= _BLACK_CHROMA
    black = grey & (field.brightest <= _BLACK_VALUE)
    # Black fill is as even as ink, and no more tissue than it.
    return [*found, (black, grey & (field.brightest <= _PALE_BLACK) & ~black)]


def _strokes(field: BrightField, strong: Mask, pale: Mask, mpp: float) -> Mask:
    """The solid, even pieces among `strong` pixels."""
    import cv2

    radius = max(1, round(_STROKE_UM / mpp / 2))
    solid = np.asarray(cv2.morphologyEx(strong.view(np.uint8), cv2.MORPH_OPEN, disc(radius)), np.bool_)
    labels, areas = pieces_of(solid, connectivity=8)
    large = [piece for piece in range(1, len(areas)) if areas[piece] * mpp**2 >= LEAST_STROKE_UM2]
    if not large:
        return np.zeros(strong.shape, np.bool_)
    beyond = np.count_nonzero(pale & ~_grown(solid, _RIM_UM / mpp))
    stain = bool(beyond > _SHADES * np.count_nonzero(solid))
    found = np.zeros(len(areas), np.bool_)
    numbers, rough, darkest = labels[solid], field.rough[solid], field.darkest[solid]
    for piece in large:
        inside = numbers == piece
        found[piece] = _is_even(rough[inside], darkest[inside], stain=stain)
    return np.take(found, labels, mode="clip")


def _is_even(rough: Image, darkest: Image, *, stain: bool) -> bool:
    tenth, middle = np.percentile(rough, (10, 50))
    opaque = float(np.median(darkest)) <= _OPAQUE
    return bool(middle <= _EVEN or (opaque and tenth <= (_PARTLY if stain else _UNEVEN)))


def _grown(mask: Mask, radius: float) -> Mask:
    import cv2

    return np.asarray(cv2.dilate(mask.view(np.uint8), disc(max(1, round(radius)))), np.bool_)
