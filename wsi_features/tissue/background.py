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
"""Grey levels. An image that varies by less in all colours shows nothing."""

_SMOOTH = 10
"""Greatest difference of neighbours on bare glass, in grey levels: noise and JPEG make up to 8 of it, tissue 20 and more."""

_GLASS_LEAST, _GLASS_SHARE, _GLASS_CHROMA = 120, 0.005, 45
"""Glass is at least this bright, this share of the image (else it is not known), and of at most this chroma (of 255)."""

_GLASS_PIXELS = 60_000

_DARK, _DARK_SHARE, _BRIGHT, _BRIGHT_SHARE = 45, 0.3, 110, 0.02
"""A dark field: a third is darker than `_DARK`, and almost nothing has all three colours above `_BRIGHT`, as glass has."""

_BLACK_VALUE, _BLACK_CHROMA = 40, 16
"""Scanner fill is black with JPEG noise; the darkest stained tissue keeps more colour than this (of 255)."""


def is_featureless(thumbnail: Image) -> bool:
    """Whether all pixels have one colour, whichever: noise and uneven light of bare glass differ more."""
    import cv2

    return all(int(plane.max()) - int(plane.min()) < _FLAT_RANGE for plane in cv2.split(thumbnail))


def is_dark_field(thumbnail: Image) -> bool:
    """Whether tissue shines on a dark background, as in fluorescence; black fill beside glass is none."""
    brightest, darkest = extremes(thumbnail)
    dark, bright = np.count_nonzero(brightest < _DARK), np.count_nonzero(darkest > _BRIGHT)
    return bool(dark >= _DARK_SHARE * darkest.size and bright < _BRIGHT_SHARE * darkest.size)


@dataclass(frozen=True, slots=True, eq=False)
class BrightField:
    """A thumbnail as it would be on white glass: `rgb` uint8 (h, w, 3) relative to the glass, `black` where it is fill.

    `brightest` and `darkest` uint8 (h, w) are the greatest and the least of the three colours, `rough` the difference of `darkest` among neighbours.
    """

    rgb: Image
    brightest: Image
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
    brightest, darkest = extremes(thumbnail)
    black = (brightest <= _BLACK_VALUE) & (brightest - darkest <= _BLACK_CHROMA)
    glass = _glass(thumbnail, darkest)
    if glass is None:
        return BrightField(thumbnail, brightest, darkest, _roughness(darkest), black)
    import cv2

    steps = np.arange(256, dtype=np.float64)[:, None] * (255 / np.maximum(glass, 1.0))
    tables = np.rint(np.minimum(steps, 255)).astype(np.uint8)
    # Plane by plane: OpenCV looks up one plane ten times as fast as three at once (measured).
    planes = [cv2.LUT(plane, tables[:, k].copy()) for k, plane in enumerate(cv2.split(thumbnail))]
    rgb = np.asarray(cv2.merge(planes), np.uint8)
    brightest, darkest = extremes(rgb)
    return BrightField(rgb, brightest, darkest, _roughness(darkest), black)


def _glass(thumbnail: Image, darkest: Image) -> npt.NDArray[np.float64] | None:
    """The colour of bare glass, float64 (3,): what most of the smooth, bright and nearly colourless pixels show.

    Only some rows and columns of a large thumbnail are looked at.
    """
    step = max(1, int(np.sqrt(darkest.size / _GLASS_PIXELS)))
    few = np.ascontiguousarray(thumbnail[::step, ::step])
    rough = np.ascontiguousarray(_roughness(darkest)[::step, ::step])
    brightest, darkest = extremes(few)
    candidates = (darkest >= _GLASS_LEAST) & (brightest - darkest <= _GLASS_CHROMA) & (rough <= _SMOOTH)
    scanned = candidates & (darkest < 254)  # pure white is what was never scanned
    least = _GLASS_SHARE * candidates.size
    chosen = scanned if scanned.sum() >= least else candidates
    if chosen.sum() < least:
        return None
    counts = np.bincount(darkest[chosen], minlength=256)
    mode = int(np.convolve(counts, np.ones(7), mode="same").argmax())
    near = chosen & (np.abs(darkest.astype(np.int16) - mode) <= 4)
    return np.asarray(np.median(few[near], axis=0), np.float64)


def _roughness(plane: Image) -> Image:
    """Greatest difference within 3 x 3 pixels."""
    import cv2

    return np.asarray(cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.uint8)


def extremes(rgb: Image) -> tuple[Image, Image]:
    """The greatest and the least of the three colours, each uint8 (h, w)."""
    import cv2

    red, green, blue = cv2.split(rgb)
    brightest = cv2.max(cv2.max(red, green), blue)
    darkest = cv2.min(cv2.min(red, green), blue)
    return np.asarray(brightest, np.uint8), np.asarray(darkest, np.uint8)
