"""The linear probe: L2-regularised logistic, Cox or ridge regression on the mean of a bag's features.

The validation fold chooses how strong the L2 is. Bags are fewer than features, so the fit is done in the space that the
training bags span, which for L2 gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.mil.training.fitting import Fitted, Fold, Told, validation_of
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.results import Epoch, FittedModel

if TYPE_CHECKING:
    import torch

Doubles = npt.NDArray[np.float64]


def fitted_probe(bags: HeldBags, fold: Fold, told: Told) -> Fitted:
    """The probe of the strength with the lowest error on the validation part."""
    import torch

    means = bags.bag_means
    center, deviation = np.zeros(bags.data.dim), np.ones(bags.data.dim)
    if fold.recipe.standardise:
        trained = means[fold.split.train]
        center = trained.mean(axis=0)
        deviation = trained.std(axis=0)
        deviation = np.where(deviation <= 1e-6 * np.maximum(1.0, np.abs(center)), 1.0, deviation)
    standard = (means - center) / deviation
    spanned = np.linalg.svd(standard[fold.split.train], full_matrices=False)
    history: list[Epoch] = []
    best, kept = 0, FittedModel({})
    for number, strength in enumerate(sorted(fold.recipe.strengths, reverse=True)):
        weight, bias, loss = fitted_linear(spanned, fold, bags, strength)
        logits = torch.from_numpy(standard[fold.split.val] @ weight.T + bias)
        history.append(Epoch(number, loss, *validation_of(logits, bags, fold), strength))
        told(history[-1])
        if number == 0 or history[-1].val_error < history[best].val_error:
            best, kept = number, _model(fold, weight, bias, center, deviation)
    return Fitted(kept, tuple(history), best)


def fitted_linear(
    spanned: tuple[Doubles, Doubles, Doubles], fold: Fold, bags: HeldBags, strength: float
) -> tuple[Doubles, Doubles, float]:
    """Weights (k, d), intercepts (k,) and loss at the least of loss + strength / 2 x the weights' squares, by L-BFGS.

    `spanned` is the thin singular value decomposition of the training bags' values (n, d). Intercepts are free; Cox's
    model has none, as it would change nothing.
    """
    import torch

    left, sizes, right = spanned
    # Each direction is scaled by about how much the loss curves along it, so that L-BFGS needs few steps.
    curved = 1 / np.sqrt(sizes**2 / (4 * len(left)) + strength)
    rows = torch.from_numpy(left * (sizes * curved))
    shrunk = torch.from_numpy(strength / 2 * curved**2)
    labels = fold.labels(bags, fold.split.train, rows.dtype)
    weight = torch.zeros((fold.objective.outputs, rows.shape[1]), dtype=rows.dtype, requires_grad=True)
    bias = torch.zeros(fold.objective.outputs, dtype=rows.dtype, requires_grad=fold.objective.task != "survival")
    free = [weight, bias] if bias.requires_grad else [weight]
    optimiser = torch.optim.LBFGS(
        free, max_iter=500, history_size=30, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        return fold.objective.loss(rows @ weight.T + bias, labels)

    def closure() -> float:
        optimiser.zero_grad()
        total = loss() + (shrunk * weight**2).sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch does not say its type
        return total.item()

    optimiser.step(closure)  # type: ignore[no-untyped-call]  # as above
    with torch.no_grad():
        return (weight.detach().numpy() * curved) @ right, bias.detach().numpy(), loss().item()


def _model(fold: Fold, weight: Doubles, bias: Doubles, center: Doubles, deviation: Doubles) -> FittedModel:
    arrays: dict[str, npt.NDArray[Any]] = {"head.weight": weight, "head.bias": bias, "mean": center}
    arrays |= {"deviation": deviation, "center": fold.objective.center, "scale": fold.objective.scale}
    return FittedModel({name: values.astype(np.float32) for name, values in arrays.items()})
