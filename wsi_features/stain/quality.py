"""How good a stain fit is, in numbers, and what makes one bad."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.recipe import Json
from wsi_features.stain.reference import optical_density
from wsi_features.stain.target import MAX_ANGLE, MIN_ANGLE, MacenkoNumbers
from wsi_features.stain.transform import Reinhard, StainMatrix, StainTransform

Floats = npt.NDArray[np.float64]

MAX_RESIDUAL = 0.3
"""Share of the optical density (root mean square) that two stains may leave unexplained; H&E slides have 0.02 to 0.15."""

MAX_STRETCH = 12.0
"""Times that a transform may enlarge optical densities; beyond it noise takes over. H&E slides have 1 to 4."""

MAX_BLUE_OVER_GREEN = 0.12
"""How much more blue than green a dye of H&E may absorb, of a vector of length 1: eosin absorbs green, DAB blue."""

MIN_ABSORPTION = -0.15
"""Least component of a stain vector: a dye that emits light is a fit of something else."""


def implausible(stains: Floats, density: Floats) -> str:
    """Why two stain vectors, rows of (2, 3), cannot be those of H&E in densities (n, 3); empty where they can."""
    angle = angle_between(stains)
    if not MIN_ANGLE <= angle <= MAX_ANGLE:
        return f"the stain vectors are {angle:.3g} degrees apart, wanted {MIN_ANGLE:g} to {MAX_ANGLE:g}"
    if stains.min() < MIN_ABSORPTION:
        return f"a stain would emit light: a component is {stains.min():.2g}, wanted {MIN_ABSORPTION:g} or more"
    brown = float((stains[:, 2] - stains[:, 1]).max())
    if brown > MAX_BLUE_OVER_GREEN:
        wanted = f"wanted {MAX_BLUE_OVER_GREEN:g} more at most in H&E"
        return f"a stain absorbs {brown:.2g} more blue than green, as brown and yellow dyes do, {wanted}"
    left = residual(stains, density)
    if left > MAX_RESIDUAL:
        return f"two stains leave {left:.2g} of the optical density unexplained, wanted {MAX_RESIDUAL:g} at most"
    return ""


def angle_between(stains: Floats) -> float:
    """Degrees between the two rows of (2, 3)."""
    cosine = float(stains[0] @ stains[1] / np.prod(np.linalg.norm(stains, axis=1)))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def residual(stains: Floats, density: Floats) -> float:
    """Root mean square of what the stains, rows of (2, 3), leave of densities (n, 3), as a share of these."""
    left = density - product(product(density, np.linalg.pinv(stains)), stains)
    whole = float(np.sqrt(np.mean(density**2)))
    return float(np.sqrt(np.mean(left**2))) / whole if whole else 0.0


def quality(transform: StainTransform, pixels: npt.NDArray[np.uint8]) -> Json:
    """The numbers to judge a fit by, of the stained pixels uint8 (n, 3) that it was made on."""
    if isinstance(transform, StainMatrix):
        return _quality_of_stains(transform.source, pixels) | {"stretch": round(transform.stretch, 4)}
    if isinstance(transform, Reinhard):
        return {"scale": [round(scale, 4) for scale, _ in transform.affine]}
    return {}


def _quality_of_stains(numbers: MacenkoNumbers, pixels: npt.NDArray[np.uint8]) -> Json:
    stains = np.array(numbers.stains)
    return {
        "angle_degrees": round(angle_between(stains), 3),
        "condition": round(float(np.linalg.cond(stains)), 3),
        "residual": round(residual(stains, optical_density(pixels)), 4),
    }


def product(left: npt.ArrayLike, right: npt.ArrayLike) -> Floats:
    """The matrix product. einsum in place of `@`: a BLAS rounds differently with another number of threads."""
    return np.asarray(np.einsum("ij,jk->ik", np.asarray(left), np.asarray(right)), dtype=np.float64)
