"""What becomes of a slide's stain where the fit is bad, and the record of either.

A bad fit is never used. `fail` fails the slide. `raw` leaves its pixels as they are. `target-only` takes the slide to be
stained with the target's own dyes: Macenko and Vahadane use the target's stain vectors as the slide's too and measure
only how much of each there is; Reinhard moves only the channels that have contrast. Where nothing is stained, the
pixels stay as they are under both.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wsi_features.errors import StainFitError
from wsi_features.recipe import Json
from wsi_features.stain.fit import LEAST_GAIN, MIN_CONCENTRATION, MIN_STD, fit, lab_statistics, require_stained
from wsi_features.stain.ink import is_ink
from wsi_features.stain.quality import product, quality
from wsi_features.stain.recipe import StainRecipe
from wsi_features.stain.reference import optical_density
from wsi_features.stain.target import MacenkoNumbers, ReinhardNumbers, load_target
from wsi_features.stain.transform import Identity, Reinhard, StainMatrix, StainTransform

Rgb = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class StainFit:
    """The transform that a slide gets, and how it came to it: `status` good, bad, or none where nothing was fitted."""

    transform: StainTransform
    record: Json = field(default_factory=lambda: {"status": "none"})

    @property
    def reason(self) -> str:
        """Why a fit is bad or was not made; empty where it is good."""
        return str(self.record.get("reason", ""))


def fitted(slide_id: str, sample: Rgb, recipe: StainRecipe) -> StainFit:
    """Fit a slide to its sample of stained pixels, uint8 (n, 3), less the ink, and judge the fit.

    Raises StainFitError for a bad fit where the recipe's `on_bad_fit` is fail, and StainTargetError.
    """
    inked = is_ink(sample)
    pixels = sample[~inked]
    counts = {"pixels": len(pixels), "ink_pixels": int(inked.sum())}
    try:
        transform = fit(slide_id, pixels, recipe)
    except StainFitError as error:
        if recipe.on_bad_fit == "fail":
            raise
        fallback = _of_target_only(slide_id, pixels, recipe) if recipe.on_bad_fit == "target-only" else Identity()
        why = {"status": "bad", "policy": recipe.on_bad_fit, "reason": str(error)}
        return StainFit(fallback, why | counts | quality(fallback, pixels))
    return StainFit(transform, {"status": "good"} | counts | quality(transform, pixels))


def unfitted(reason: str) -> StainFit:
    """The pixels stay as they are, for a reason that is not the fit's."""
    return StainFit(Identity(), {"status": "none", "reason": reason})


def _of_target_only(slide_id: str, pixels: Rgb, recipe: StainRecipe) -> StainTransform:
    target = load_target(recipe.target)
    try:
        require_stained(slide_id, recipe.method, pixels, recipe.min_pixels)
    except StainFitError:
        return Identity()
    if recipe.method == "reinhard":
        return _moved_where_there_is_contrast(pixels, target.lab)
    wanted = target.stains if recipe.method == "macenko" else target.sparse_stains
    return StainMatrix(
        method="macenko" if recipe.method == "macenko" else "vahadane", source=_amounts(pixels, wanted), target=wanted
    )


def _amounts(pixels: Rgb, target: MacenkoNumbers) -> MacenkoNumbers:
    """The target's stains with the slide's amounts; of a stain that is hardly there, the target's amount."""
    top = np.percentile(product(optical_density(pixels), np.linalg.pinv(np.array(target.stains))), 99, axis=0)
    held = np.where(top >= MIN_CONCENTRATION, top, target.max_concentration)
    return target.model_copy(
        update={"max_concentration": tuple(np.maximum(held, np.array(target.max_concentration) * LEAST_GAIN).tolist())}
    )


def _moved_where_there_is_contrast(pixels: Rgb, target: ReinhardNumbers) -> Reinhard:
    mean, std = lab_statistics(pixels)
    flat = ~(std >= MIN_STD)
    source = {"mean": np.where(flat, target.mean, mean).tolist(), "std": np.where(flat, target.std, std).tolist()}
    return Reinhard(source=ReinhardNumbers.model_validate(source), target=target)
