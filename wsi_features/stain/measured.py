"""Targets that are measured: of a reference image, or the median of a cohort's fits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.errors import StainFitError, StainTargetError
from wsi_features.stain.fit import measured_target
from wsi_features.stain.ink import is_ink
from wsi_features.stain.recipe import StainRecipe
from wsi_features.stain.sample import stained_pixels
from wsi_features.stain.target import MacenkoNumbers, ReinhardNumbers, StainTarget
from wsi_features.stain.transform import Reinhard, StainMatrix, StainTransform

LEAST_FITS = 2
"""Fewest slides that a median is made of."""


def target_of_image(path: Path) -> StainTarget:
    """The look of an H&E image, measured on its stained pixels. Raises StainTargetError."""
    try:
        seen = path.stat()
    except OSError as error:
        raise StainTargetError.unusable_image(str(path), str(error)) from error
    return _target_of_image(path, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=8)
def _target_of_image(path: Path, _size: int, _time: int) -> StainTarget:
    # Kept by size and time: every slide of a cohort asks for the target, and a changed file must not go unseen.
    import cv2

    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
    if image is None:
        raise StainTargetError.unusable_image(str(path), "it is no image that can be read")
    return target_of_pixels(str(path), image[None].astype(np.uint8), f"Measured of the image {path.name}")


def target_of_pixels(source: str, patches: npt.NDArray[np.uint8], description: str) -> StainTarget:
    """The look of patches uint8 (m, h, w, 3), with the sample and the percentiles of the default recipe."""
    recipe = StainRecipe()
    pixels = stained_pixels(patches, recipe.max_pixels, recipe.luminosity)
    try:
        return measured_target(source, pixels[~is_ink(pixels)], recipe, description)
    except StainFitError as error:
        raise StainTargetError.unusable_image(source, str(error)) from error


def median_target(out: str, fits: Sequence[StainTransform]) -> StainTarget:
    """The median look of slides with good fits, of each method that `fits` hold: element by element, stains of length 1.

    Raises StainTargetError where no method has two slides.
    """
    sections: dict[str, MacenkoNumbers | ReinhardNumbers] = {}
    for method in ("macenko", "vahadane"):
        found = [fit.source for fit in fits if isinstance(fit, StainMatrix) and fit.method == method]
        if len(found) >= LEAST_FITS:
            sections[method] = _median_stains(found)
    means = [fit.source for fit in fits if isinstance(fit, Reinhard)]
    if len(means) >= LEAST_FITS:
        sections["reinhard"] = ReinhardNumbers.model_validate(
            {
                name: np.median([getattr(numbers, name) for numbers in means], axis=0).tolist()
                for name in ("mean", "std")
            }
        )
    if not sections:
        raise StainTargetError.no_fits(out, len(fits))
    return StainTarget.model_validate({"description": f"Median of {len(fits)} slides"} | sections)


def _median_stains(found: Sequence[MacenkoNumbers]) -> MacenkoNumbers:
    stains = np.median([numbers.stains for numbers in found], axis=0)
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    amounts = np.median([numbers.max_concentration for numbers in found], axis=0)
    return MacenkoNumbers.model_validate({"stains": stains.tolist(), "max_concentration": amounts.tolist()})
