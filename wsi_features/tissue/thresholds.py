"""Where a grey-level plane is split in two, and when it is better not split at all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.uint8]


def guarded_threshold(plane: Plane, usable: npt.NDArray[np.bool_], least: float, sure: float) -> int:
    """The value (0 to 255) above which a pixel counts; `least` and `sure` are shares of 255.

    Otsu's threshold (Otsu 1979, IEEE Trans. SMC 9:62-66) always splits something, be it the noise of an
    empty slide or the dark from the pale part of a slide full of tissue. So it is only believed between
    `least` and `sure`, and only where its two classes differ by `least` in their mean; without such a
    contrast there is one class, and only `sure` pixels count. Pixels of `plane` (h, w) that are not `usable` have no say.
    """
    import cv2

    counts = cv2.calcHist([plane], [0], usable.view(np.uint8), [256], [0, 256])[:, 0].astype(np.float64)
    below, weighted = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    split = (below > 0) & (above > 0)
    if not split.any():
        return int(sure * 255)
    lower, upper = weighted[split] / below[split], (weighted[-1] - weighted[split]) / above[split]
    best = int((below[split] * above[split] * (upper - lower) ** 2).argmax())
    if upper[best] - lower[best] < least * 255:
        return int(sure * 255)
    otsu = int(np.flatnonzero(split)[best])
    return int(min(max(otsu, least * 255), sure * 255))


def above_background(plane: Plane, *, least: int, most: int) -> int:
    """The value above which a plane shines, where most of its dark pixels are background.

    Background is the commonest dark value with noise of the width seen below it; the threshold lies six such widths
    higher, but between `least` and `most` levels above. Otsu would leave out what is dim beside what is bright.
    """
    counts = np.bincount(plane.ravel(), minlength=256)
    mode = int(counts[:128].argmax())
    under = counts[: mode + 1].astype(np.float64)
    width = float(np.sqrt((under * (mode - np.arange(mode + 1)) ** 2).sum() / max(1.0, under.sum())))
    return min(254, mode + round(min(max(6 * width, least), most)))
