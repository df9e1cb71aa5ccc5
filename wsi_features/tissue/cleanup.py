"""What all methods do to a mask in the end: close gaps, drop small pieces, fill small holes.

Sizes come from the recipe in microns and square microns, so they mean the same at any resolution.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.tissue.recipe import TissueRecipe

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def cleaned(mask: Mask, mpp: float, recipe: TissueRecipe) -> Mask:
    """The mask bool (h, w) with gaps closed, then without pieces and holes below the recipe's least areas."""
    closed = close_gaps(mask, recipe.closing_diameter_um / mpp)
    return without_small(closed, min_piece=recipe.min_area_um2 / mpp**2, min_hole=recipe.min_hole_um2 / mpp**2)


def without_small(mask: Mask, *, min_piece: float, min_hole: float) -> Mask:
    """Drop pieces of fewer than `min_piece` pixels, then fill holes of fewer than `min_hole`.

    Pieces are connected through edges and holes also through corners, so that a piece
    is one polygon with its holes. A hole does not touch the image's border.
    """
    labels, areas = pieces_of(mask, connectivity=4)
    keep = areas >= min_piece
    keep[0] = False
    kept = np.take(keep, labels, mode="clip")  # much faster than an index, which checks its bounds (measured)
    labels, areas = pieces_of(~kept, connectivity=8)
    fill = areas < min_hole
    fill[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    return kept | np.take(fill, labels, mode="clip")


def pieces_of(mask: Mask, connectivity: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The number of each pixel's piece (h, w), 0 outside of `mask`, and each piece's area in pixels."""
    import cv2

    _, found = cv2.connectedComponents(mask.view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    labels = np.asarray(found, dtype=np.int32)
    return labels, np.asarray(np.bincount(labels.ravel()), dtype=np.int64)


def smooth(image: Image, width: float) -> Image:
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
    padded = np.pad(mask, radius).astype(np.uint8)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc(radius))
    return np.asarray(closed[radius:-radius, radius:-radius], dtype=np.bool_)


def disc(radius: int) -> Image:
    """A disc as a structuring element, 2 `radius` + 1 pixels wide."""
    import cv2

    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def shrunk(mask: Mask, radius: float) -> Mask:
    """The mask without a rim of `radius` pixels; the image's border is no rim."""
    import cv2

    return np.asarray(cv2.erode(mask.astype(np.uint8), disc(round(radius))), np.bool_)
