"""Tissue on a thumbnail: which pixels show tissue, by their colour.

The one method here is Otsu's threshold on saturation (Otsu 1979, IEEE Trans. SMC 9:62-66),
with guards against the slides on which a bare threshold goes wrong.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.tissue.recipe import TissueRecipe

_BLACK_VALUE, _BLACK_CHROMA = 40, 16
"""Scanner fill is black with JPEG noise; the darkest stained tissue keeps more colour than this (of 255)."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Segmenter(Protocol):
    """A method that finds tissue."""

    def __call__(self, thumbnail: Image, mpp: float) -> Mask:
        """Tissue of `thumbnail` uint8 RGB (h, w, 3) at `mpp` microns per pixel, bool (h, w).

        The thumbnail is composed on white and is not changed.
        """


def otsu_segmenter(recipe: TissueRecipe) -> Segmenter:
    """Tissue is what is more saturated than glass.

    Saturation is median filtered and split by `saturation_threshold`; gaps are closed,
    then pieces below `min_area_um2` are dropped and holes below `min_hole_um2` filled.
    Pieces are connected through pixel edges; a hole does not touch the thumbnail's border.

    It cannot see what has no colour: fluorescence, grey or silver stains, unstained tissue,
    the empty cells of fat. Pen, ink and coloured dirt are taken for tissue where they are
    large enough, and so is glass tinted beyond `sure_saturation`.
    """

    def tissue(thumbnail: Image, mpp: float) -> Mask:
        saturation = _smooth(_saturation(thumbnail), recipe.median_um / mpp)
        coloured = saturation > saturation_threshold(saturation, recipe.min_saturation, recipe.sure_saturation)
        closed = close_gaps(coloured, recipe.closing_diameter_um / mpp)
        return without_small(closed, min_piece=recipe.min_area_um2 / mpp**2, min_hole=recipe.min_hole_um2 / mpp**2)

    return tissue


def saturation_threshold(saturation: Image, least: float, sure: float) -> int:
    """The saturation (0 to 255) above which a pixel is tissue; `least` and `sure` are shares of 255.

    Otsu's threshold always splits something, be it the noise of an empty slide or
    the dark from the pale part of a slide full of tissue. So it is only believed between
    `least` and `sure`, and only where its two classes differ by `least` in mean
    saturation; without such a contrast there is one class, and only `sure` pixels count.
    """
    import cv2

    otsu, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    upper = saturation > otsu
    if upper.all() or not upper.any() or saturation[upper].mean() - saturation[~upper].mean() < least * 255:
        return int(sure * 255)
    return int(min(max(otsu, least * 255), sure * 255))


def without_small(mask: Mask, *, min_piece: float, min_hole: float) -> Mask:
    """Drop pieces of fewer than `min_piece` pixels, then fill holes of fewer than `min_hole`.

    Pieces are connected through edges and holes also through corners, so that a piece
    is one polygon with its holes.
    """
    labels, areas = _labelled(mask, connectivity=4)
    keep = areas >= min_piece
    keep[0] = False
    kept = keep[labels]
    labels, areas = _labelled(~kept, connectivity=8)
    fill = areas < min_hole
    fill[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    return kept | fill[labels]


def _labelled(mask: Mask, connectivity: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The number of each pixel's piece (h, w), 0 outside of `mask`, and each piece's area in pixels."""
    import cv2

    _, found = cv2.connectedComponents(mask.view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    labels = np.asarray(found, dtype=np.int32)
    return labels, np.asarray(np.bincount(labels.ravel()), dtype=np.int64)


def _saturation(thumbnail: Image) -> Image:
    """HSV saturation, with colourless black set to 0: there it is only noise."""
    import cv2

    hsv = cv2.cvtColor(thumbnail, cv2.COLOR_RGB2HSV)
    saturation, value = hsv[..., 1], hsv[..., 2]
    # Saturation is 255 * chroma / value.
    colourless = saturation.astype(np.uint16) * value <= _BLACK_CHROMA * 255
    return np.where((value <= _BLACK_VALUE) & colourless, np.uint8(0), saturation)


def _smooth(image: Image, width: float) -> Image:
    """Median filter of the odd width nearest to `width` pixels."""
    import cv2

    odd = 2 * round((min(width, 255) - 1) / 2) + 1
    return np.asarray(cv2.medianBlur(image, odd), dtype=np.uint8) if odd > 1 else image


def close_gaps(mask: Mask, diameter: float) -> Mask:
    """Close gaps narrower than a disc of `diameter` pixels; what lies beyond the border is glass."""
    import cv2

    radius = round((diameter - 1) / 2)
    if radius < 1:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = np.pad(mask, radius).astype(np.uint8)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)
    return np.asarray(closed[radius:-radius, radius:-radius], dtype=np.bool_)
