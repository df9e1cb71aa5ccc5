"""Networks that pool the tiles of a bag: gated attention, mean, max, and the mean of the features themselves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from wsi_features.mil.training.recipe import TrainingRecipe


class BagNetwork(nn.Module):
    """Tiles (n, d) are projected one by one, pooled by bag, and a linear head makes `outputs` numbers of the pooled vector.

    Attention is gated (Ilse, Tomczak, Welling: Attention-based Deep Multiple Instance Learning, ICML 2018). As the head
    is linear, the numbers of a bag that attention or a mean pools are the weighted mean of what its tiles alone would
    get. Features are standardised inside the first layer, so nothing is done to each of them.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    center: torch.Tensor
    scale: torch.Tensor

    def __init__(self, recipe: TrainingRecipe, dim: int, outputs: int) -> None:
        super().__init__()
        self.model = recipe.model
        width = dim if recipe.model == "linear" else recipe.hidden
        self.project = None if recipe.model == "linear" else nn.Linear(dim, recipe.hidden)
        self.drop = nn.Dropout(recipe.dropout)
        gated = recipe.model == "abmil"
        self.attend = nn.Linear(width, 2 * recipe.attention) if gated else None
        self.weigh = nn.Linear(recipe.attention, 1, bias=False) if gated else None
        self.head = nn.Linear(width, outputs)
        for name, size, value in (
            ("mean", dim, 0),
            ("deviation", dim, 1),
            ("center", outputs, 0),
            ("scale", outputs, 1),
        ):
            self.register_buffer(name, torch.full((size,), float(value)))

    def tiles(self, features: torch.Tensor) -> torch.Tensor:
        """Float features (n, d) as vectors that are pooled, (n, width); of the probe the features themselves."""
        if self.project is None:
            return features
        weight = self.project.weight / self.deviation
        projected = functional.linear(features, weight, self.project.bias - weight @ self.mean)
        return self.drop(functional.relu(projected, inplace=True))  # type: ignore[no-any-return]  # as torch types modules

    def attention(self, vectors: torch.Tensor) -> torch.Tensor | None:
        """How much each tile is looked at, (n,), before the softmax over its bag; None where all count the same."""
        if self.attend is None or self.weigh is None:
            return None
        value, gate = self.attend(vectors).chunk(2, dim=1)
        return self.weigh(torch.tanh(value) * torch.sigmoid(gate))[:, 0]  # type: ignore[no-any-return]  # as above

    def numbers(self, vectors: torch.Tensor) -> torch.Tensor:
        """What the head says (n, outputs) of vectors, pooled ones or a tile's."""
        if self.project is not None:
            return self.head(vectors)  # type: ignore[no-any-return]  # as above
        weight = self.head.weight / self.deviation
        return functional.linear(vectors, weight, self.head.bias - weight @ self.mean)

    def pooled(self, vectors: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        """The vector of each segment, (segments, width); `lengths` of them lie one behind the other."""
        parts = torch.split(vectors, list(lengths))
        if self.model == "max":
            return torch.stack([part.amax(0) for part in parts])
        looks = self.attention(vectors)
        if looks is None:
            return torch.stack([part.mean(0) for part in parts])
        shares = [torch.softmax(look, 0) for look in torch.split(looks, list(lengths))]
        return torch.stack([share @ part for share, part in zip(shares, parts, strict=True)])

    def forward(self, features: torch.Tensor, lengths: Sequence[int], owners: Sequence[int]) -> torch.Tensor:
        """Numbers (bags, outputs) of segments that lie one behind the other; bag k is the mean of `owners[k]` of them."""
        pooled = self.pooled(self.tiles(features), lengths)
        if len(owners) != len(lengths):
            pooled = torch.stack([part.mean(0) for part in torch.split(pooled, list(owners))])
        return self.numbers(pooled)
