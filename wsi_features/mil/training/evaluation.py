"""What a fitted model says of whole bags: every tile looked at, in blocks, whatever the size of the bag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TrainingError
from wsi_features.mil.bag import BagSlides
from wsi_features.mil.labels import Task
from wsi_features.mil.slides import SlideRows
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
    with torch.device("meta"):  # no first weights are drawn, which would move the program's random numbers on
        network = BagNetwork(recipe, dim, outputs)
    arrays = {name: torch.from_numpy(values.copy()) for name, values in model.arrays.items()}
    network.load_state_dict(arrays, assign=True)
    return network.to(device).eval()


def segment_values(networks: Sequence[BagNetwork], blocks: Iterable[torch.Tensor]) -> list[SegmentValues]:
    """Of a segment whose features come in blocks (b, d), as stored, for each network; one block is on the device at a time."""
    import torch

    found = [_Gathered(network) for network in networks]
    with torch.no_grad():
        for block in blocks:
            features = block.to(networks[0].mean.device).float()
            for one in found:
                one.add(features)
        return [one.values() for one in found]


def bag_values(
    networks: Sequence[BagNetwork], bags: HeldBags, item: int
) -> Iterator[tuple[BagSlides, list[SegmentValues]]]:
    """Each segment of bag number `item` with what every network says of all its tiles.

    Raises TrainingError naming a tile whose features are not finite.
    """
    for part in bags.segments(item):
        slides = [slide for slide in part.slides if slide.used]
        found = segment_values(networks, (block for slide in slides for block in bags.blocks(slide)))
        if len(wrong := np.flatnonzero(~np.isfinite(found[0].scores).all(axis=1))):
            raise TrainingError.not_finite(*_origin(slides, int(wrong[0])))
        yield part, found


def outputs_of(
    task: Task, networks: Sequence[BagNetwork], bags: HeldBags, items: Iterable[int]
) -> npt.NDArray[np.float32]:
    """Predictions (b, k) of whole bags, the mean of the networks'; a bag of several segments is the mean of their numbers."""
    rows = []
    for item in items:
        of_segments = [[values.pooled for values in found] for _, found in bag_values(networks, bags, item)]
        logits = np.mean(of_segments, axis=0)
        rows.append(output_of(task, logits).mean(axis=0, dtype=np.float64))
    return np.stack(rows).astype(np.float32)


class _Gathered:
    """What one network has said of the blocks so far."""

    def __init__(self, network: BagNetwork) -> None:
        self.network = network
        self.scores: list[torch.Tensor] = []
        self.looks: list[torch.Tensor] = []
        self.count = 0
        self.highest: torch.Tensor | None = None
        self.winner: torch.Tensor | None = None

    def add(self, features: torch.Tensor) -> None:
        """The next block (b, d)."""
        import torch

        vectors = self.network.tiles(features)
        self.scores.append(self.network.numbers(vectors).double().cpu())
        look = self.network.attention(vectors)
        self.looks.append(torch.zeros(len(vectors)) if look is None else look.cpu())
        if self.network.model == "max":
            self._raise(*vectors.max(0))
        self.count += len(vectors)

    def values(self) -> SegmentValues:
        """Of all blocks."""
        import torch

        scores = torch.cat(self.scores)
        if self.highest is None or self.winner is None:
            attention = torch.softmax(torch.cat(self.looks).double(), 0)
            pooled = attention @ scores
        else:
            attention = torch.bincount(self.winner.cpu(), minlength=self.count).double() / len(self.winner)
            pooled = self.network.numbers(self.highest[None])[0].double().cpu()
        scale, center = self.network.scale.double().cpu(), self.network.center.double().cpu()
        return SegmentValues(attention.numpy(), (scores * scale + center).numpy(), (pooled * scale + center).numpy())

    def _raise(self, here: torch.Tensor, place: torch.Tensor) -> None:
        """The highest value (width,) of each projected number so far, and the tile that has it first."""
        import torch

        if self.highest is None or self.winner is None:
            self.highest, self.winner = here, place
            return
        more = here > self.highest
        self.winner = torch.where(more, place + self.count, self.winner)
        self.highest = torch.where(more, here, self.highest)


def _origin(slides: Sequence[SlideRows], tile: int) -> tuple[str, int]:
    """Slide and row of a tile of a segment."""
    ends = np.cumsum([slide.used for slide in slides])
    k = int(np.searchsorted(ends, tile, side="right"))
    slide = slides[k]
    return slide.slide_id, int(slide.rows[tile - (ends[k] - slide.used)])
