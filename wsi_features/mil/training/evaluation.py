"""What a fitted model says of whole bags: every tile looked at, in blocks, whatever the size of the bag."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TrainingError
from wsi_features.mil.bag import BagSlides
from wsi_features.mil.labels import Task
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.objective import output_of
from wsi_features.mil.training.recipe import TrainingRecipe
from wsi_features.mil.training.results import Device, FittedModel

if TYPE_CHECKING:
    import torch

    from wsi_features.mil.training.networks.pooling import BagNetwork

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SegmentValues:
    """Of the n tiles of a segment, in the order of its slides' rows.

    `attention` (n,) sums to 1; `scores` (n, k) is what a bag of that tile alone would get; `pooled` (k,) what the segment
    gets. In the model's numbers: logits, the log of the hazard, or the target's units.
    """

    attention: Doubles
    scores: Doubles
    pooled: Doubles


def device_of(wanted: Device) -> torch.device:
    """A GPU where there is one, unless the CPU is asked for. Raises TrainingError."""
    import torch

    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise TrainingError.no_cuda()
    return torch.device("cuda" if found and wanted != "cpu" else "cpu")


def network_of(model: FittedModel, recipe: TrainingRecipe, device: torch.device) -> BagNetwork:
    """The network of saved numbers, for evaluation."""
    import torch

    from wsi_features.mil.training.networks.pooling import BagNetwork

    dim, outputs = len(model.arrays["mean"]), len(model.arrays["center"])
    network = BagNetwork(recipe, dim, outputs)
    network.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in model.arrays.items()})
    return network.to(device).eval()


def segment_values(network: BagNetwork, blocks: Iterable[torch.Tensor]) -> SegmentValues:
    """Of a segment whose features come in blocks (b, d), as stored; one block is on the device at a time."""
    import torch

    device = network.mean.device
    scores, looks = [], []
    counts: list[int] = []
    highest: torch.Tensor | None = None
    winner = torch.zeros(0, dtype=torch.int64)
    with torch.no_grad():
        for block in blocks:
            vectors = network.tiles(block.to(device).float())
            scores.append(network.head(vectors).double().cpu())
            look = network.attention(vectors)
            looks.append(torch.zeros(len(block)) if look is None else look.cpu())
            if network.model == "max":
                highest, winner = _higher(highest, winner, vectors, sum(counts))
            counts.append(len(block))
        if highest is not None:
            pooled = network.head(highest[None])[0].double().cpu()
            attention = torch.bincount(winner.cpu(), minlength=sum(counts)).double() / len(winner)
        else:
            attention = torch.softmax(torch.cat(looks).double(), 0)
            pooled = attention @ torch.cat(scores)
    scale, center = network.scale.double().cpu(), network.center.double().cpu()
    all_scores = torch.cat(scores) * scale + center
    return SegmentValues(attention.numpy(), all_scores.numpy(), (pooled * scale + center).numpy())


def bag_values(network: BagNetwork, bags: HeldBags, item: int) -> list[tuple[BagSlides, SegmentValues]]:
    """Of each segment of bag number `item`, all its tiles."""
    return [
        (part, segment_values(network, (block for slide in part.slides if slide.used for block in bags.blocks(slide))))
        for part in bags.segments(item)
    ]


def outputs_of(task: Task, network: BagNetwork, bags: HeldBags, items: Iterable[int]) -> npt.NDArray[np.float32]:
    """Predictions (b, k) of whole bags; a bag of several segments is their mean."""
    rows: list[Any] = [
        np.mean([values.pooled for _, values in bag_values(network, bags, item)], axis=0) for item in items
    ]
    return output_of(task, np.stack(rows))


def _higher(
    highest: torch.Tensor | None, winner: torch.Tensor, vectors: torch.Tensor, start: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest value (width,) of each projected number so far, and the tile that has it first."""
    import torch

    here, place = vectors.max(0)
    if highest is None:
        return here, place + start
    more = here > highest
    return torch.where(more, here, highest), torch.where(more, place + start, winner)
