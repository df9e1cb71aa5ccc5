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
from wsi_features.stain.kernel import DensityTables, density_tables, shift_lab
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

    def __eq__(self, other: object) -> bool:
        """By the numbers: what is derived of them and kept does not count."""
        return isinstance(other, _Transform) and self.parameters() == other.parameters()

    def __hash__(self) -> int:
        """Equal numbers, equal hash."""
        return hash(self.model_dump_json())


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
    def colours(self) -> Pixels8:
        """a* and b* after against before, uint8 (2, steps, 256): one step for each L* of the glass range."""
        import cv2

        glass, before = np.mgrid[GLASS_FROM : GLASS_TO + 1, :256].astype(np.uint8)
        tables = []
        for scale, offset in self.affine[1:]:
            # So that a neutral pixel, 128, comes out as 128 from GLASS_TO on.
            fade = (128 - scale * 128 - offset) / (GLASS_TO - GLASS_FROM)
            tables.append(cv2.addWeighted(before, scale, glass, fade, offset - fade * GLASS_FROM))
        return np.stack(tables)

    def apply(self, pixels: Pixels8, out: Pixels8 | None = None) -> Pixels8:
        """Normalise uint8 (b, h, w, 3) RGB."""
        import cv2

        result = np.empty(pixels.shape, np.uint8) if out is None else out
        for block, done in _blocks(pixels, result):
            lab = np.asarray(cv2.cvtColor(block, cv2.COLOR_RGB2LAB), dtype=np.uint8)
            shift_lab(lab.reshape(-1), self.lightness, self.colours, GLASS_FROM)
            cv2.cvtColor(lab, cv2.COLOR_LAB2RGB, dst=done)
        return result


class StainMatrix(_Transform):
    """Two stains' concentrations rescaled and drawn again with the target's stains.

    Taking densities apart, rescaling and mixing are all linear in optical density, so
    the whole is one 3 x 3 matrix. White stays white.
    """

    method: Literal["macenko", "vahadane"] = "macenko"
    source: MacenkoNumbers
    target: MacenkoNumbers

    @cached_property
    def matrix(self) -> npt.NDArray[np.float64]:
        """Optical density (r, g, b) as a row, times this, is the normalised optical density."""
        gain = np.array(self.target.max_concentration) / np.array(self.source.max_concentration)
        unmix = np.linalg.pinv(np.array(self.source.stains))
        return np.asarray(unmix @ np.diag(gain) @ np.array(self.target.stains), dtype=np.float64)

    @property
    def stretch(self) -> float:
        """Most times that any colour's optical density grows: the largest singular value of the matrix."""
        return float(np.linalg.norm(self.matrix, 2))

    @cached_property
    def tables(self) -> DensityTables:
        """The matrix as the tables that it is applied by."""
        return density_tables(self.matrix, plain_densities())

    def apply(self, pixels: Pixels8, out: Pixels8 | None = None) -> Pixels8:
        """Normalise uint8 (b, h, w, 3) RGB; at most one grey level from the plain formula."""
        result = np.empty(pixels.shape, np.uint8) if out is None else out
        self.tables.apply(np.ascontiguousarray(pixels).reshape(-1), result.reshape(-1))
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
def plain_densities() -> npt.NDArray[np.float64]:
    """Optical density of each of the 256 pixel values, float64 (256,); 0 is read as 1."""
    return np.asarray(LOG_WHITE - np.log(np.maximum(np.arange(256), 1)), dtype=np.float64)


def _blocks(pixels: Pixels8, result: Pixels8) -> Iterator[tuple[Pixels8, Pixels8]]:
    # One long row of pixels: OpenCV then starts no threads of its own, which would fight with the caller's.
    source, out = pixels.reshape(1, -1, 3), result.reshape(1, -1, 3)
    for start in range(0, source.shape[1], _BLOCK):
        yield source[:, start : start + _BLOCK], out[:, start : start + _BLOCK]
