"""Which sampled pixels are ink of a pen, and no stain.

Told by ratios of optical densities, which do not change with the amount of dye. Haematoxylin absorbs about as much
green as red (0.75 to 1.25 times) and little blue; blue and green inks absorb red well above green, black ink
absorbs all three alike and much. Red ink looks like eosin and is not told.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.stain.transform import plain_densities

RED_OVER_GREEN = 1.4
"""Times that blue and green inks absorb more red than green, at least."""

FAINT = 0.3
"""Density of red below which a ratio is too uncertain to call a pixel ink."""

BLACK_FROM, BLACK_RANGE = 1.2, 0.35
"""Black ink: least density of every channel, and the most by which they differ."""


def is_ink(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether each pixel of uint8 (n, 3) RGB is ink, bool (n,)."""
    red, green, blue = (plain_densities()[pixels[:, channel]] for channel in range(3))
    coloured = (red > FAINT) & (red > RED_OVER_GREEN * green)
    lowest, highest = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    return np.asarray(coloured | ((lowest > BLACK_FROM) & (highest - lowest < BLACK_RANGE)))
