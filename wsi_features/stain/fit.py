"""The stain transform of one slide, estimated from a sample of its stained pixels.

A fit is made once per slide, so all its tiles are changed alike. Fitting each tile on
its own, as some tools do, is another method: it gives other pixels (tens of grey levels
apart where tiles hold unequal shares of the stains) and removes real differences.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.errors import StainFitError
from wsi_features.stain.quality import MAX_STRETCH, implausible
from wsi_features.stain.quality import product as _product
from wsi_features.stain.recipe import StainRecipe
from wsi_features.stain.reference import optical_density
from wsi_features.stain.target import MacenkoNumbers, ReinhardNumbers, StainTarget, load_target
from wsi_features.stain.transform import LAB_UNITS, LAB_ZEROS, Identity, Reinhard, StainMatrix, StainTransform
from wsi_features.stain.vahadane import sparse_stains

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

STAINED_BELOW = 220
"""A pixel counts as stained when its darkest channel is below this (optical density 0.15, Macenko's beta)."""

MIN_VARIANCE = 2.5e-5
"""Variance of optical density in a second direction below which there is only one colour: one grey level at 200."""

MIN_CONCENTRATION = 0.05
"""99th percentile of a stain's concentration below which the stain is absent; real slides have 0.3 to 3."""

LEAST_GAIN = 0.5
"""Share of the target's concentrations that `on_bad_fit: target-only` assumes at least, so that it doubles them at most."""

MIN_STD = 0.5
"""Standard deviation of a LAB channel below which there is no contrast, only rounding."""


def fit(slide_id: str, pixels: Rgb, recipe: StainRecipe) -> StainTransform:
    """Fit the recipe's method to stained pixels, uint8 (n, 3) RGB, of a whole slide.

    Raises StainFitError where the pixels do not determine a transform, whatever `on_bad_fit`
    says, and StainTargetError where the recipe's target cannot be used.
    """
    if recipe.method == "none":
        return Identity()
    target = load_target(recipe.target)
    if recipe.method == "reinhard":
        return Reinhard(source=reinhard_numbers(slide_id, pixels, recipe), target=target.lab)
    wanted = target.stains if recipe.method == "macenko" else target.sparse_stains
    made = StainMatrix(method=recipe.method, source=stain_numbers(slide_id, pixels, recipe), target=wanted)
    if not made.stretch <= MAX_STRETCH:
        why = f"densities would be stretched {made.stretch:.3g} times, wanted {MAX_STRETCH:g} at most"
        raise StainFitError.degenerate(slide_id, recipe.method, why)
    return made


def measured_target(name: str, pixels: Rgb, recipe: StainRecipe, description: str) -> StainTarget:
    """A target that looks like these stained pixels, uint8 (n, 3) RGB; `name` is for messages.

    Its `model_dump(mode="json")`, written as YAML, is a file that `target` accepts.
    """
    return StainTarget(
        description=description,
        macenko=macenko_numbers(name, pixels, recipe),
        reinhard=reinhard_numbers(name, pixels, recipe),
        vahadane=vahadane_numbers(name, pixels, recipe),
    )


def stain_numbers(slide_id: str, pixels: Rgb, recipe: StainRecipe) -> MacenkoNumbers:
    """Stain vectors and concentrations of H&E by the recipe's method, macenko or vahadane."""
    measure = vahadane_numbers if recipe.method == "vahadane" else macenko_numbers
    return measure(slide_id, pixels, recipe)


def macenko_numbers(slide_id: str, pixels: Rgb, recipe: StainRecipe) -> MacenkoNumbers:
    """Stain vectors and concentrations of H&E after Macenko et al. 2009 (ISBI, pp. 1107-1110).

    `pixels` is uint8 (n, 3) RGB. Haematoxylin is the vector that absorbs more red.
    """
    require_stained(slide_id, "macenko", pixels, recipe.min_pixels)
    density = optical_density(pixels)
    return _with_amounts(slide_id, "macenko", density, _stain_vectors(slide_id, density, recipe.percentile))


def vahadane_numbers(slide_id: str, pixels: Rgb, recipe: StainRecipe) -> MacenkoNumbers:
    """Stain vectors and concentrations of H&E after Vahadane et al. 2016; see `vahadane`."""
    require_stained(slide_id, "vahadane", pixels, recipe.min_pixels)
    density = optical_density(pixels)
    _principal_axes(slide_id, "vahadane", density)
    return _with_amounts(slide_id, "vahadane", density, sparse_stains(density, recipe.sparsity))


def _with_amounts(slide_id: str, method: str, density: Floats, stains: Floats) -> MacenkoNumbers:
    """The numbers of these stain vectors, once they are two dyes that H&E can hold and both are there."""
    if why := implausible(stains, density):
        raise StainFitError.degenerate(slide_id, method, why)
    top = np.percentile(_product(density, np.linalg.pinv(stains)), 99, axis=0)
    for stain, found in zip(("haematoxylin", "eosin"), top, strict=True):
        if not found >= MIN_CONCENTRATION:
            why = f"the 99th percentile of {stain} is {found:.3g}, wanted at least {MIN_CONCENTRATION:g}"
            raise StainFitError.degenerate(slide_id, method, why)
    return MacenkoNumbers.model_validate({"stains": stains.tolist(), "max_concentration": top.tolist()})


def reinhard_numbers(slide_id: str, pixels: Rgb, recipe: StainRecipe) -> ReinhardNumbers:
    """Mean and spread in LAB, after Reinhard et al. 2001; `pixels` is uint8 (n, 3) RGB."""
    require_stained(slide_id, "reinhard", pixels, recipe.min_pixels)
    mean, std = lab_statistics(pixels)
    for channel, found in zip(("L*", "a*", "b*"), std, strict=True):
        if not found >= MIN_STD:
            raise StainFitError.no_contrast(slide_id, "reinhard", channel, float(found), MIN_STD)
    return ReinhardNumbers.model_validate({"mean": mean.tolist(), "std": std.tolist()})


def lab_statistics(pixels: Rgb) -> tuple[Floats, Floats]:
    """Mean and standard deviation of L*, a* and b* of pixels uint8 (n, 3)."""
    import cv2

    scaled = cv2.cvtColor(np.ascontiguousarray(pixels)[None], cv2.COLOR_RGB2LAB)[0]
    lab = (scaled - LAB_ZEROS) / LAB_UNITS
    return lab.mean(axis=0), lab.std(axis=0)


def require_stained(slide_id: str, method: str, pixels: Rgb, wanted: int) -> None:
    """Raise StainFitError unless `wanted` pixels are stained at all."""
    found = int(np.count_nonzero(pixels.min(axis=1) < STAINED_BELOW))
    if found < wanted:
        raise StainFitError.too_few_pixels(slide_id, method, found, wanted)


def _principal_axes(slide_id: str, method: str, density: Floats) -> Floats:
    """The first two principal directions of the densities, columns of (3, 2). Raises StainFitError where there is one."""
    centred = density - density.mean(axis=0)
    variances, axes = np.linalg.eigh(_product(centred.T, centred) / (len(centred) - 1))
    if variances[1] < MIN_VARIANCE:
        why = f"colours vary in one direction only: second variance {variances[1]:.2g}, wanted {MIN_VARIANCE:g} or more"
        raise StainFitError.degenerate(slide_id, method, why)
    return np.asarray(axes[:, [2, 1]])


def _stain_vectors(slide_id: str, density: Floats, percentile: float) -> Floats:
    # Rows haematoxylin, eosin. Signs and order are fixed here, since those of eigenvectors are arbitrary.
    plane = _principal_axes(slide_id, "macenko", density)
    plane = plane * np.where(density.mean(axis=0) @ plane < 0, -1, 1)
    along, across = _product(density, plane).T
    low, high = np.percentile(np.arctan2(across, along), (100 - percentile, percentile))
    stains: Floats = np.array([[np.cos(low), np.sin(low)], [np.cos(high), np.sin(high)]]) @ plane.T
    return stains if stains[0, 0] > stains[1, 0] else np.flipud(stains)
