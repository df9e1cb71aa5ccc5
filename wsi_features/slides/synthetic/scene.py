"""One slide in mind: its anatomy, the coarse label map, and the blocks its pixels are made in.

Blocks lie on one fixed lattice and each is made from its own position alone, so the same
pixels come out whatever region is asked for and however many threads work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wsi_features.slides.synthetic.anatomy import Anatomy, anatomy_of, calibration_positions
from wsi_features.slides.synthetic.lesion import Lesion, lesion_of
from wsi_features.slides.synthetic.noise import F32, F64, U8
from wsi_features.slides.synthetic.spec import SlideSpec

_COARSE_UM = 8.0
_BLOCK_PX = (512, 1024)
_LABEL_TILE = 256


@dataclass(frozen=True, slots=True)
class Area:
    """A box of coarse pixels: first row and column, and how many of each."""

    top: int
    left: int
    rows: int
    columns: int

    def padded(self, margin: int) -> Area:
        """The box grown by `margin` coarse pixels on every side."""
        return Area(self.top - margin, self.left - margin, self.rows + 2 * margin, self.columns + 2 * margin)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything that pixels are made from. A coarse pixel is `step` level-0 pixels wide and high.

    `labels` uint8 (h, w) holds one label per coarse pixel, at its centre.
    """

    spec: SlideSpec
    anatomy: Anatomy
    step: int
    labels: U8
    lesion: Lesion | None = None

    @property
    def step_um(self) -> float:
        """Width of a coarse pixel in microns."""
        return self.step * self.spec.scale

    @property
    def block_px(self) -> tuple[int, int]:
        """Height and width of a block in level-0 pixels."""
        return self._block_rows * self.step, self._block_columns * self.step

    @property
    def _block_rows(self) -> int:
        return max(1, round(_BLOCK_PX[0] / self.step))

    @property
    def _block_columns(self) -> int:
        return max(1, round(_BLOCK_PX[1] / self.step))

    def block(self, row: int, column: int) -> Area:
        """One block of the lattice; the last of a row or column reaches beyond the slide."""
        rows, columns = self._block_rows, self._block_columns
        return Area(row * rows, column * columns, rows, columns)

    def centres(self, area: Area) -> tuple[F64, F64]:
        """Centres of the coarse rows and columns of `area`, in microns."""
        return _centres(area.top, area.rows, self.step_um), _centres(area.left, area.columns, self.step_um)

    def window(self, area: Area) -> U8:
        """The labels of `area`; beyond the map the nearest label."""
        rows = np.clip(np.arange(area.top, area.top + area.rows), 0, self.labels.shape[0] - 1)
        columns = np.clip(np.arange(area.left, area.left + area.columns), 0, self.labels.shape[1] - 1)
        return self.labels[rows[:, None], columns[None, :]]


def coarse_step(spec: SlideSpec) -> int:
    """Level-0 pixels per coarse pixel: about eight microns."""
    return max(1, round(_COARSE_UM / spec.scale))


def scene_of(spec: SlideSpec) -> Scene:
    """The scene of a slide. How the file is laid out does not matter to it."""
    layout = SlideSpec()
    return _scene(
        replace(
            spec,
            mpp=spec.scale,
            objective=None,
            levels=(1,),
            quality=layout.quality,
            subsampling=layout.subsampling,
            photometric=layout.photometric,
            tile=layout.tile,
        )
    )


@lru_cache(maxsize=4)
def _scene(spec: SlideSpec) -> Scene:
    step, anatomy = coarse_step(spec), anatomy_of(spec)
    labels = np.zeros((-(-spec.height // step), -(-spec.width // step)), np.uint8)
    height, width = labels.shape
    for top in range(0, height, _LABEL_TILE):
        for left in range(0, width, _LABEL_TILE):
            tile = labels[top : top + _LABEL_TILE, left : left + _LABEL_TILE]
            rows, columns = tile.shape
            step_um = step * spec.scale
            tile[:] = anatomy.labels(_centres(top, rows, step_um), _centres(left, columns, step_um))
    labels.flags.writeable = False
    lesion = lesion_of(anatomy, spec.lesion, *calibration_positions(spec)) if spec.lesion else None
    return Scene(spec, anatomy, step, labels, lesion)


def enlarged(field: F32, step: int) -> F32:
    """A coarse field interpolated to level-0 pixels, float32; its outermost coarse pixels only lend their values."""
    import cv2

    height, width = field.shape
    large = cv2.resize(np.ascontiguousarray(field), (width * step, height * step), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[step:-step, step:-step], dtype=np.float32)


def _centres(first: int, count: int, step_um: float) -> F64:
    return np.asarray((np.arange(first, first + count) + 0.5) * step_um, dtype=np.float64)
