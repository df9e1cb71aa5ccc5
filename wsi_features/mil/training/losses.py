"""Losses of a batch of bags, as torch sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def cox_loss(risk: torch.Tensor, time: torch.Tensor, event: torch.Tensor) -> torch.Tensor:
    """The negative log partial likelihood of Cox's model for each event, with ties as Efron (1977) takes them.

    `risk` (n,) is the log of the relative hazard, `event` 1 where it was seen and 0 where the time is censored. A bag
    censored at a time is still at risk for events of that time. 0 without events.
    """
    import torch

    order = torch.argsort(time, descending=True, stable=True)
    risk, dead = risk[order], event[order] > 0
    if not bool(dead.any()):
        return risk.sum() * 0
    _, moment, sizes = torch.unique_consecutive(time[order], return_inverse=True, return_counts=True)
    at_risk = torch.logcumsumexp(risk, 0)[sizes.cumsum(0) - 1][moment]
    moment, share = moment[dead], torch.exp(risk - at_risk)[dead]
    deaths = torch.bincount(moment, minlength=len(sizes))
    tied = torch.zeros(len(sizes), dtype=risk.dtype, device=risk.device).index_add(0, moment, share)[moment]
    place = torch.arange(len(moment), device=risk.device) - (deaths.cumsum(0) - deaths)[moment]
    gone = torch.log1p(-place.to(risk.dtype) / deaths[moment] * tied)
    return (at_risk[dead] + gone - risk[dead]).mean()


def weighted_cross_entropy(
    logits: torch.Tensor, label: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean over the bags of the cross entropy times the weight of the bag's class, which are 1 on average."""
    import torch

    losses = torch.nn.functional.cross_entropy(logits, label, reduction="none")
    return losses.mean() if weights is None else (losses * weights[label]).mean()


def brier_score(logits: torch.Tensor, label: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Mean over the bags of the squared distance of their probabilities from the label, times the weight of its class.

    Brier (Monthly Weather Review 78, 1950). At most 2 a bag, so that one that is surely wrong does not decide alone, as it
    does in the cross entropy, which has no bound.
    """
    import torch

    wanted = torch.nn.functional.one_hot(label, logits.shape[1])
    distances = ((torch.softmax(logits, 1) - wanted) ** 2).sum(1)
    return distances.mean() if weights is None else (distances * weights[label]).mean()


def squared_error(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean over bags and columns, of targets that are standardised."""
    return ((values - target) ** 2).mean()
