"""The fitted stain transform of one slide: uint8 tiles in, uint8 tiles out. [hot]

A transform holds numbers only, so it is a few lines of JSON and gives the same pixels
wherever it is applied. `reference` has the same formulas, plain and slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wsi_features.recipe import Json
from wsi_features.stain.target import MacenkoNumbers, ReinhardNumbers

Pixels8 = npt.NDArray[np.uint8]

WHITE = 255
LOG_WHITE = float(np.log(WHITE))

LAB_UNITS, LAB_ZEROS = (2.55, 1.0, 1.0), (0.0, 128.0, 128.0)
"""OpenCV's 8-bit LAB of a CIE L*a*b* colour is colour * LAB_UNITS + LAB_ZEROS."""

GLASS_FROM, GLASS_TO = 217, 237
"""Lightness on the 8-bit L* scale (L* 85 and 93) between which Reinhard's colour shift fades out.

Reinhard's shift moves every pixel, so plain glass would take the colour of the difference between two tissues.
"""

_BLOCK = 65536
# Pixels handled at once: a 256 px tile, measured fastest of 8,192 to 65,536; memory does not grow with the batch.

_LOG_INTEGERS = 21.0
# OpenCV converts to uint8 by way of int32, where exp(21.5) and more turns black in place of white.


class StainTransform(Protocol):
    """A fitted normalization. Values only: safe to share between threads."""

    def apply(self, pixels: Pixels8, out: Pixels8 | None = None) -> Pixels8:
        """Normalise uint8 (b, h, w, 3) RGB, C-contiguous, into `out` where one is given, which may be `pixels`."""

    def parameters(self) -> Json:
        """Method, fitted numbers and target numbers: everything needed to make the transform again."""


class _Transform(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def parameters(self) -> Json:
        """Method, fitted numbers and target numbers, as plain JSON values."""
        return self.model_dump(mode="json")


class Identity(_Transform):
    """No normalization."""

    method: Literal["none"] = "none"

    def apply(self, pixels: Pixels8, out: Pixels8 | None = None) -> Pixels8:
        """The very same array, where no other is to be filled."""
        if out is None or out is pixels:
            return pixels
        out[...] = pixels
        return out


class Reinhard(_Transform):
    """Mean and spread of each LAB channel moved to the target's.

    Reinhard et al. 2001, IEEE Computer Graphics and Applications 21(5), in CIE L*a*b* in
    place of their l-alpha-beta, as is usual in pathology. Two things differ from the plain
    formula. Above L* 85 the lightness follows a straight line up to white, and the shift
    of a* and b* fades until L* 93, so that glass stays colourless. LAB values are rounded, not cut.
    """

    method: Literal["reinhard"] = "reinhard"
    source: ReinhardNumbers
    target: ReinhardNumbers

    @cached_property
    def affine(self) -> tuple[tuple[float, float], ...]:
        """Scale and offset of L*, a* and b* on OpenCV's 8-bit LAB scales."""
        scales = np.array(self.target.std) / self.source.std
        of, to = (np.array(numbers.mean) * LAB_UNITS + LAB_ZEROS for numbers in (self.source, self.target))
        return tuple(zip(scales.tolist(), (to - scales * of).tolist(), strict=True))

    @cached_property
    def lightness(self) -> Pixels8:
        """L* after against L* before, both 0 to 255."""
        scale, offset = self.affine[0]
        before = np.arange(256)
        after: npt.NDArray[np.float64] = np.clip(scale * before + offset, 0, WHITE)
        rising = np.interp(before, (GLASS_FROM, WHITE), (after[GLASS_FROM], WHITE))
        return np.rint(np.where(before > GLASS_FROM, rising, after)).astype(np.uint8)

    @cached_property
    def shifts(self) -> tuple[tuple[float, float, float], ...]:
        """For a* and b*: factors of the colour and of the lightness held within the glass range, and an offset."""
        rows = []
        for scale, offset in self.affine[1:]:
            # So that a neutral pixel, 128, comes out as 128 from GLASS_TO on.
            fade = (128 - scale * 128 - offset) / (GLASS_TO - GLASS_FROM)
            rows.append((scale, fade, offset - fade * GLASS_FROM))
        return tuple(rows)

    def apply(self, pixels: Pixels8, out: Pixels8 | None = None) -> Pixels8:
        """Normalise uint8 (b, h, w, 3) RGB."""
        import cv2

        result = np.empty(pixels.shape, np.uint8) if out is None else out
        for block, done in _blocks(pixels, result):
            light, *colours = cv2.split(cv2.cvtColor(block, cv2.COLOR_RGB2LAB))
            glass = np.clip(light, GLASS_FROM, GLASS_TO)
            shifted = [
                cv2.addWeighted(colour, scale, glass, fade, offset)
                for colour, (scale, fade, offset) in zip(colours, self.shifts, strict=True)
            ]
            lab = cv2.merge([cv2.LUT(light, self.lightness), *shifted])
            cv2.cvtColor(lab, cv2.COLOR_LAB2RGB, dst=done)
        return result


class StainMatrix(_Transform):
    """Two stains' concentrations rescaled and drawn again with the target's stains.

    Taking densities apart, rescaling and mixing are all linear in optical density, so
    the whole is one 3 x 3 matrix. White stays white.
    """

    method: Literal["macenko"] = "macenko"
    source: MacenkoNumbers
    target: MacenkoNumbers

    @cached_property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Optical density (r, g, b) as a row, times this, is the normalised optical density."""
        gain = np.array(self.target.max_concentration) / np.array(self.source.max_concentration)
        unmix = np.linalg.pinv(np.array(self.source.stains))
        return np.asarray(unmix @ np.diag(gain) @ np.array(self.target.stains), dtype=np.float64)

    @cached_property
    def log_matrix(self) -> npt.NDArray[np.float64]:
        """3 x 4: from a column of optical densities to the logarithms of the normalised pixel values."""
        return np.hstack([-self.matrix.T, np.full((3, 1), LOG_WHITE)])

    @cached_property
    def brightest_log(self) -> float:
        """Bound on the logarithm of a normalised value before it is held at white: 5.5 to 7 on common slides."""
        negative = np.minimum(self.matrix, 0).sum(axis=0)
        return LOG_WHITE * (1 - float(negative.min()))

    def apply(self, pixels: Pixels8, out: Pixels8 | None = None) -> Pixels8:
        """Normalise uint8 (b, h, w, 3) RGB."""
        import cv2

        result = np.empty(pixels.shape, np.uint8) if out is None else out
        density = logs = None  # two buffers, made for the first block and used again
        for block, done in _blocks(pixels, result):
            density = cv2.LUT(block, density_table(), dst=density)
            logs = cv2.transform(density, self.log_matrix, dst=logs)
            if self.brightest_log > _LOG_INTEGERS:
                cv2.threshold(logs, LOG_WHITE, 0, cv2.THRESH_TRUNC, dst=logs)
            cv2.convertScaleAbs(cv2.exp(logs, dst=logs), dst=done)
        return result


_ANY: TypeAdapter[Identity | Reinhard | StainMatrix] = TypeAdapter(
    Annotated[Identity | Reinhard | StainMatrix, Field(discriminator="method")]
)


def transform_from_parameters(parameters: Json) -> StainTransform:
    """The transform whose `parameters()` these are, to the last bit.

    Raises pydantic's ValidationError (a ValueError) when they are of no transform.
    """
    return _ANY.validate_python(parameters)


@lru_cache(maxsize=1)
def density_table() -> npt.NDArray[np.float32]:
    """Optical density of each of the 256 pixel values, float32 (256,); 0 is read as 1."""
    values = np.maximum(np.arange(256), 1)
    return np.asarray(LOG_WHITE - np.log(values), dtype=np.float32)


def _blocks(pixels: Pixels8, result: Pixels8) -> Iterator[tuple[Pixels8, Pixels8]]:
    # One long row of pixels: OpenCV then starts no threads of its own, which would fight with the caller's.
    source, out = pixels.reshape(1, -1, 3), result.reshape(1, -1, 3)
    for start in range(0, source.shape[1], _BLOCK):
        yield source[:, start : start + _BLOCK], out[:, start : start + _BLOCK]
