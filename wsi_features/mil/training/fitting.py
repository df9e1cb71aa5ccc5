"""Fitting a pooling network to one fold, epoch by epoch, until the validation fold gets no better."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TrainingError
from wsi_features.mil.splits import Split
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.metrics import main_metric
from wsi_features.mil.training.objective import Objective, output_of
from wsi_features.mil.training.recipe import TrainingRecipe
from wsi_features.mil.training.results import Epoch, FittedModel

if TYPE_CHECKING:
    import torch

    from wsi_features.mil.training.networks.pooling import BagNetwork

Items = npt.NDArray[np.int64]
Told = Callable[[Epoch], None]

_CUBLAS = r"(?s).*CUBLAS_WORKSPACE_CONFIG"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What a fold learned: the numbers of its best epoch, and how it came there."""

    model: FittedModel
    history: tuple[Epoch, ...]
    best_epoch: int


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """What fitting a fold needs besides the bags. `seed` is the fold's own."""

    number: int
    split: Split
    recipe: TrainingRecipe
    objective: Objective
    device: torch.device

    @property
    def seed(self) -> int:
        """Of first weights, order and dropout."""
        return int(np.random.SeedSequence((self.recipe.seed, self.number)).generate_state(1, np.uint32)[0])

    def labels(self, bags: HeldBags, items: Items, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """Of some bags, on the fold's device."""
        return self.objective.labels([bags.data.bags[k].label for k in items], self.device, dtype)


def fitted_network(bags: HeldBags, fold: Fold, told: Told) -> Fitted:
    """The network of the best epoch, by its error on the validation part; stops `patience` epochs after it.

    An epoch is better than the best so far where its error is lower by `improvement`.
    """
    import torch

    from wsi_features.mil.training.networks.pooling import BagNetwork

    with _own_random_numbers(fold):
        network = BagNetwork(fold.recipe, bags.data.dim, fold.objective.outputs)
        _set_scales(network, bags, fold)
        network.to(fold.device)
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=fold.recipe.learning_rate, weight_decay=fold.recipe.weight_decay
        )
        history: list[Epoch] = []
        best, kept = 0, FittedModel({})
        for number in range(fold.recipe.epochs):
            train_loss = _trained_epoch(network, optimiser, bags, fold, number)
            history.append(Epoch(number, train_loss, *_validated(network, bags, fold)))
            told(history[-1])
            if not np.isfinite(history[-1].val_loss):
                raise TrainingError.diverged(fold.number, number, fold.recipe.learning_rate)
            if number == 0 or history[-1].val_error < history[best].val_error - fold.recipe.improvement:
                best, kept = number, numbers_of(network)
            if number - best >= fold.recipe.patience:
                break
    return Fitted(kept, tuple(history), best)


def numbers_of(network: BagNetwork) -> FittedModel:
    """A copy of all numbers of a network."""
    return FittedModel({name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()})


@contextmanager
def _own_random_numbers(fold: Fold) -> Iterator[None]:
    """Seeded here, and afterwards as before: other random numbers of the program go on undisturbed.

    torch warns that cuBLAS repeats its results only with CUBLAS_WORKSPACE_CONFIG, which holds where several streams share a
    workspace (cuBLAS manual, "Results reproducibility"). One fold is fitted on one stream, so that warning is not shown; the
    environment of the program, which cuBLAS has read by then, stays as it is.
    """
    import torch

    devices = [torch.cuda.current_device()] if fold.device.type == "cuda" else []
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_CUBLAS, category=UserWarning)
        torch.manual_seed(fold.seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _set_scales(network: BagNetwork, bags: HeldBags, fold: Fold) -> None:
    import torch

    if fold.recipe.standardise:
        mean, deviation = bags.standard(fold.split.train)
        network.mean.copy_(torch.from_numpy(mean))
        network.deviation.copy_(torch.from_numpy(deviation))
    network.center.copy_(torch.from_numpy(fold.objective.center))
    network.scale.copy_(torch.from_numpy(fold.objective.scale))


def _trained_epoch(
    network: BagNetwork, optimiser: torch.optim.Optimizer, bags: HeldBags, fold: Fold, epoch: int
) -> float:
    """The mean loss of the bags while the epoch went on."""
    network.train()
    losses, total = [], 0
    for items in batches(bags, fold, epoch):
        logits = _logits(network, bags, items, (fold.recipe.max_tiles, fold.seed, epoch))
        loss = fold.objective.loss(logits, fold.labels(bags, items, logits.dtype))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not say its type
        optimiser.step()
        losses.append(loss.item() * len(items))
        total += len(items)
    return sum(losses) / total


def _validated(network: BagNetwork, bags: HeldBags, fold: Fold) -> tuple[float, float, float]:
    """Loss, error and metric of the validation part, of the same tiles in every epoch."""
    import torch

    network.eval()
    items = fold.split.val
    tiles = (fold.recipe.val_tiles, fold.recipe.seed, 0)
    with torch.no_grad():
        logits = torch.cat([_logits(network, bags, items[k : k + 1], tiles) for k in range(len(items))])
        return validation_of(logits, bags, fold)


def validation_of(logits: torch.Tensor, bags: HeldBags, fold: Fold) -> tuple[float, float, float]:
    """Loss, error and metric of the validation part, whose numbers (b, outputs) are `logits`."""
    items, objective = fold.split.val, fold.objective
    labels = fold.labels(bags, items, logits.dtype)
    numbers = np.asarray(logits.double().cpu().numpy() * objective.scale + objective.center, np.float64)
    metric = main_metric(bags.data.part(items), output_of(objective.task, numbers))
    return objective.loss(logits, labels).item(), objective.error(logits, labels).item(), metric


def batches(bags: HeldBags, fold: Fold, epoch: int) -> list[Items]:
    """The training bags in random order, cut into steps. Of survival each step has an event, so it may be longer.

    Bags with events and censored ones are dealt out in turn.
    """
    rng = np.random.default_rng((fold.seed, epoch))
    order = rng.permutation(fold.split.train)
    survival = fold.objective.task == "survival"
    count = -(-len(order) // (fold.recipe.risk_set if survival else fold.recipe.batch))
    if survival:
        seen = np.array([bags.data.bags[k].label[1] for k in order])
        order = order[np.argsort(-seen, kind="stable")]
        count = min(count, int(seen.sum()))
        return [order[k::count] for k in range(count)]
    return np.array_split(order, count)


def _logits(network: BagNetwork, bags: HeldBags, items: Items, tiles: tuple[int | None, int, int]) -> torch.Tensor:
    """Numbers (b, outputs) of bags, with `tiles` the most of each, the seed and the epoch of the draw."""
    import torch

    segments = [bags.drawn(int(item), *tiles) for item in items]
    parts = [part for bag in segments for part in bag]
    lengths = [len(part) for part in parts]
    features = torch.empty((sum(lengths), bags.data.dim), dtype=torch.float32, device=network.mean.device)
    start = 0
    for part in parts:
        features[start : start + len(part)] = part.to(features.device)
        start += len(part)
    found: torch.Tensor = network(features, lengths, [len(bag) for bag in segments])
    return found
