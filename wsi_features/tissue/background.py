"""What a thumbnail shows where there is no tissue: the colour of bare glass, black fill, or the dark of fluorescence.

Nothing here decides what tissue is; methods ask it what to compare with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_FLAT_RANGE = 8
"""Grey levels. An image that varies by less shows nothing: camera noise and uneven light of bare glass are more."""

_SMOOTH = 10
"""Greatest difference of neighbours on bare glass, in grey levels: noise and JPEG make up to 8 of it, tissue 20 and more."""

_GLASS_LEAST, _GLASS_SHARE, _GLASS_CHROMA = 120, 0.005, 45
"""Glass is at least this bright, this share of the image (else it is not known), and of at most this chroma (of 255)."""

_DARK, _DARK_SHARE, _BRIGHT, _BRIGHT_SHARE = 45, 0.3, 110, 0.02
"""A dark field: a third is darker than `_DARK`, and almost nothing has all three colours above `_BRIGHT`, as glass has."""

_BLACK_VALUE, _BLACK_CHROMA = 40, 16
"""Scanner fill is black with JPEG noise; the darkest stained tissue keeps more colour than this (of 255)."""


def is_featureless(thumbnail: Image) -> bool:
    """Whether all pixels, but for a few, have one colour: a blank scan, whatever its colour."""
    step = max(1, thumbnail.shape[0] * thumbnail.shape[1] // 500_000)
    low, high = np.percentile(thumbnail.reshape(-1, 3)[::step], (0.1, 99.9), axis=0)
    return bool((high - low < _FLAT_RANGE).all())


def is_dark_field(thumbnail: Image) -> bool:
    """Whether tissue shines on a dark background, as in fluorescence; black fill beside glass is none."""
    brightest, darkest = _extremes(thumbnail)
    return bool((brightest < _DARK).mean() >= _DARK_SHARE and (darkest > _BRIGHT).mean() < _BRIGHT_SHARE)


@dataclass(frozen=True, slots=True, eq=False)
class BrightField:
    """A thumbnail as it would be on white glass: `rgb` uint8 (h, w, 3) relative to the glass, `black` where it is fill.

    `darkest` uint8 (h, w) is the least of the three colours, `rough` the difference of `darkest` among neighbours.
    """

    rgb: Image
    darkest: Image
    rough: Image
    black: Mask

    @property
    def saturation(self) -> Image:
        """HSV saturation (h, w), 0 in the black: there it is only noise."""
        import cv2

        saturation = np.asarray(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2HSV)[..., 1], np.uint8)
        return np.where(self.black, np.uint8(0), saturation)


def bright_field(thumbnail: Image) -> BrightField:
    """The thumbnail with its glass made white, so that grey or tinted glass has no colour and no darkness."""
    brightest, darkest = _extremes(thumbnail)
    black = (brightest <= _BLACK_VALUE) & (brightest - darkest <= _BLACK_CHROMA)
    glass = _glass(thumbnail, brightest, darkest)
    if glass is None:
        return BrightField(thumbnail, darkest, _roughness(darkest), black)
    import cv2

    steps = np.arange(256, dtype=np.float64)[:, None] * (255 / np.maximum(glass, 1.0))
    table = np.rint(np.minimum(steps, 255)).astype(np.uint8)
    rgb = np.asarray(cv2.LUT(thumbnail, table[:, None, :]), np.uint8)
    least = _extremes(rgb)[1]
    return BrightField(rgb, least, _roughness(least), black)


def _glass(thumbnail: Image, brightest: Image, darkest: Image) -> npt.NDArray[np.float64] | None:
    """The colour of bare glass, float64 (3,): what most of the smooth, bright and nearly colourless pixels show."""
    candidates = (darkest >= _GLASS_LEAST) & (brightest - darkest <= _GLASS_CHROMA) & (_roughness(darkest) <= _SMOOTH)
    scanned = candidates & (darkest < 254)  # pure white is what was never scanned
    least = _GLASS_SHARE * candidates.size
    chosen = scanned if scanned.sum() >= least else candidates
    if chosen.sum() < least:
        return None
    counts = np.bincount(darkest[chosen], minlength=256)
    mode = int(np.convolve(counts, np.ones(7), mode="same").argmax())
    near = chosen & (np.abs(darkest.astype(np.int16) - mode) <= 4)
    return np.asarray(np.median(thumbnail[near][:: max(1, int(near.sum()) // 50_000)], axis=0), np.float64)


def _roughness(plane: Image) -> Image:
    """Greatest difference within 3 x 3 pixels."""
    import cv2

    return np.asarray(cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.uint8)


def _extremes(rgb: Image) -> tuple[Image, Image]:
    """The greatest and the least of the three colours, each uint8 (h, w)."""
    import cv2

    red, green, blue = cv2.split(rgb)
    brightest = cv2.max(cv2.max(red, green), blue)
    darkest = cv2.min(cv2.min(red, green), blue)
    return np.asarray(brightest, np.uint8), np.asarray(darkest, np.uint8)
