"""What tissue looks like between its nuclei: seamless patches of haematoxylin and eosin density per type.

Patches are drawn once at half a micron per pixel, finer than the optics of a 20x scan
resolve, and repeat every 384 um; rendering bends the way they are looked up, so no
repeat is seen. Densities are bytes of `colour.HAEMATOXYLIN_MAX` and `colour.EOSIN_MAX`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.slides.synthetic.colour import EOSIN_MAX, HAEMATOXYLIN_MAX
from wsi_features.slides.synthetic.noise import F32, F64, U8, hashed, key_of, smooth_noise, uniform

Densities = npt.NDArray[np.floating[Any]]
"""One dye, as optical density at each position of a patch."""

PERIOD_UM = 384.0
_MASTER_UM = 0.5
_POSITIONS: F64 = np.asarray((np.arange(round(PERIOD_UM / _MASTER_UM)) + 0.5) * _MASTER_UM)

# Fat cells per period in each direction: about 48 um wide.
_FAT_CELLS = 8
_ROUNDING_UM = 3.5


def texel_um(mpp: float) -> float:
    """Microns per pixel of the patches used for a slide of `mpp`."""
    return PERIOD_UM / _patch_px(mpp)


@lru_cache(maxsize=10)
def patch(name: str, mpp: float, repeats: int) -> U8:
    """One patch, tiled to `repeats` periods each way, at `texel_um(mpp)` microns per pixel.

    uint8 (h, w, 3): haematoxylin, eosin, and noise around 128 that makes borders ragged.
    """
    import cv2

    px = _patch_px(mpp)
    master = _master(name)
    small = cv2.resize(master, (px, px), interpolation=cv2.INTER_AREA) if px < len(master) else master
    tiled = np.tile(np.asarray(small, dtype=np.uint8), (repeats, repeats, 1))
    tiled.flags.writeable = False
    return tiled


def _patch_px(mpp: float) -> int:
    return round(PERIOD_UM / max(mpp, _MASTER_UM))


@cache
def _master(name: str) -> U8:
    haematoxylin, eosin = _DRAWN[name]()
    rough = 36 * _noise("rough", 6) + 28 * _noise("rough", 16) + 128
    planes = (haematoxylin * (255 / HAEMATOXYLIN_MAX), eosin * (255 / EOSIN_MAX), rough)
    return np.stack([np.clip(plane, 0, 255) for plane in planes], axis=2).astype(np.uint8)


def _noise(name: str, pitch: float | tuple[float, float]) -> F32:
    return smooth_noise(key_of("texture", name, pitch), _POSITIONS, _POSITIONS, pitch, PERIOD_UM)


def _tumour() -> tuple[Densities, Densities]:
    mottle = 0.55 * _noise("tumour", 8) + 0.5 * _noise("tumour", 2) + 0.6 * _noise("tumour", 1)
    return 0.34 + 0.07 * mottle, 0.5 + 0.1 * mottle + 0.08 * _noise("tumour-eosin", 12)


def _stroma() -> tuple[Densities, Densities]:
    """Collagen: ridges of noise drawn out along x, in bundles with pale clefts between."""
    fibres = 1 - 0.8 * (np.abs(_noise("fibre", (3, 48))) + np.abs(_noise("fibre", (6, 48))))
    bundle = _noise("bundle", (16, 96)) + 0.6 * _noise("bundle", (8, 64))
    cleft = np.clip(0.5 * bundle + 1.45, 0.25, 1)
    grain = _noise("stroma", 1)
    eosin = (0.62 + 0.16 * fibres + 0.05 * grain) * cleft
    return 0.07 + 0.02 * fibres, eosin


def _lymphocytes() -> tuple[Densities, Densities]:
    mottle = 0.6 * _noise("lymph", 4) + 0.5 * _noise("lymph", 1)
    return 0.3 + 0.08 * mottle, 0.4 + 0.08 * mottle


def _necrosis() -> tuple[Densities, Densities]:
    clumps = 0.45 * _noise("necrosis", 12) + 0.5 * _noise("necrosis", 3) + 0.7 * _noise("necrosis", 1)
    return 0.1 + 0.05 * _noise("necrosis-dust", 2) ** 2, 0.85 + 0.16 * clumps


def _fat() -> tuple[Densities, Densities]:
    """Thin pink septa between round pale cells: the borders of a jittered cell mosaic."""
    septum = np.clip(1.3 - (_mosaic_gap(_FAT_CELLS) - 0.5 - 0.3 * _noise("septum", 24)) / 1.4, 0, 1)
    return 0.02 + 0.09 * septum, 0.09 + 0.57 * septum


def _lesion() -> tuple[Densities, Densities]:
    mottle = 0.5 * _noise("lesion", 6) + 0.5 * _noise("lesion", 3) + 0.5 * _noise("lesion", 1)
    return 0.36 + 0.09 * mottle, 0.42 + 0.1 * mottle


_DRAWN = {
    "tumour": _tumour,
    "stroma": _stroma,
    "lymphocytes": _lymphocytes,
    "necrosis": _necrosis,
    "fat": _fat,
    "lesion": _lesion,
}


def _mosaic_gap(cells: int) -> F32:
    """Distance in microns from each position to the border of its cell, with the cells' corners rounded."""
    pitch = PERIOD_UM / cells
    index = np.arange(-1, cells + 1)
    rows, columns = np.meshgrid(index, index, indexing="ij")
    wrapped = (rows % cells, columns % cells)
    ys = (rows + 0.5 + 0.75 * (uniform(hashed(key_of("fat", "y"), *wrapped)) - 0.5)) * pitch
    xs = (columns + 0.5 + 0.75 * (uniform(hashed(key_of("fat", "x"), *wrapped)) - 0.5)) * pitch
    nearest, second, third = np.full((3, len(_POSITIONS), len(_POSITIONS)), np.inf, np.float32)
    at = _POSITIONS.astype(np.float32)
    for y, x in zip(ys.ravel().astype(np.float32), xs.ravel().astype(np.float32), strict=True):
        square = (at[:, None] - y) ** 2 + (at[None, :] - x) ** 2
        beyond = np.maximum(nearest, square)
        third = np.minimum(third, np.maximum(second, beyond))
        second = np.minimum(second, beyond)
        nearest = np.minimum(nearest, square)
    gaps = [(np.sqrt(other) - np.sqrt(nearest)) / _ROUNDING_UM for other in (second, third)]
    return np.asarray(-_ROUNDING_UM / 2 * np.log(np.exp(-gaps[0]) + np.exp(-gaps[1])), dtype=np.float32)
