"""Stain vectors by sparse non-negative factorization, after Vahadane et al. 2016.

IEEE Transactions on Medical Imaging 35(8), 1962-1971: densities are concentrations times stain vectors, neither
below zero, with few stains in each pixel. Two stains make each step exact: a pixel's concentrations are one of
four closed forms, so there is no solver, no random start and no library whose threads change the last bits.
tiatoolbox hands the transposed problem to scikit-learn for three steps, which it calls unstable itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_START = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
# H&E of Ruifrok and Johnston 2001. A fixed start, so that equal pixels give equal stains.
_MOST_PIXELS = 50_000
_STEPS, _SETTLED = 300, 1e-5


def sparse_stains(density: Floats, sparsity: float) -> Floats:
    """Two stain vectors of length 1, rows haematoxylin then eosin (2, 3), of optical densities (n, 3).

    `sparsity` is the paper's lambda, against half the squared residual. A stain that no pixel
    holds keeps the direction it had.
    """
    thinned = density[np.arange(min(len(density), _MOST_PIXELS)) * len(density) // min(len(density), _MOST_PIXELS)]
    stains: Floats = _unit(_START)
    for _ in range(_STEPS):
        before = stains
        amounts = sparse_concentrations(thinned, stains, sparsity)
        stains = _refined(thinned, amounts, stains)
        if np.abs(stains - before).max() < _SETTLED:
            break
    return stains if stains[0, 0] > stains[1, 0] else np.flipud(stains)


def sparse_concentrations(density: Floats, stains: Floats, sparsity: float) -> Floats:
    """The concentrations (n, 2), none below 0, of least half squared residual plus `sparsity` times their sum."""
    overlap = float(stains[0] @ stains[1])
    pull = np.einsum("nc,sc->ns", density, stains) - sparsity
    both = (pull - overlap * pull[:, ::-1]) / (1 - overlap**2)
    # Where not both can be above 0, it is the one with the stronger pull alone.
    alone = np.where(pull >= pull[:, ::-1], np.maximum(pull, 0), 0)
    return np.asarray(np.where((both >= 0).all(axis=1, keepdims=True), both, alone))


def _refined(density: Floats, amounts: Floats, stains: Floats) -> Floats:
    """Each stain in turn, the best for these amounts with the other one held."""
    held = stains.copy()
    squares, products = np.einsum("ns,nt->st", amounts, amounts), np.einsum("ns,nc->sc", amounts, density)
    for this, other in ((0, 1), (1, 0)):
        found = np.maximum(products[this] - squares[this, other] * held[other], 0)
        if found.any():
            held[this] = found / np.linalg.norm(found)
    return held


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
