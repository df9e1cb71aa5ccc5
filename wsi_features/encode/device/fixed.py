"""A faster twin of an encoder's work, for batches of one size, used only where it agrees with the plain one.

A CUDA graph replays all kernels of a batch by one call: of small networks, where starting
the kernels takes longer than running them, that is most of the time. Compiled networks
fuse kernels. Both want batches of a fixed size, so the last batch of a slide is padded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from wsi_features.encode.card import Precision
from wsi_features.encode.device.failures import is_lost_device, is_out_of_memory
from wsi_features.encode.device.stage import Work
from wsi_features.encode.notes import Notes

if TYPE_CHECKING:
    import torch

Acceleration = Literal["none", "graph", "compile"]
Faster = Callable[["torch.Tensor"], Work]
"""Makes the twin, from a batch like those that it will get."""

TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2}
"""Greatest difference that a twin may have, of the greatest feature of the first batch."""


class FixedBatch:
    """`work`, by its twin once that has been compared on a real batch.

    The twin is made for the shape and length of the first batch, and again for a longer one or
    another shape. Shorter batches are padded with their last tile, and those rows dropped.
    A twin that differs, cannot be made, or takes too much memory is given up, with a note.
    """

    def __init__(self, work: Work, faster: Faster, tolerance: float, notes: Notes) -> None:
        self._work = work
        self._faster: Faster | None = faster
        self._tolerance = tolerance
        self._notes = notes
        self._twin: Work | None = None
        self._like: tuple[object, ...] = ()
        self._size = 0

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Rows (b, dim) of `pixels` (b, h, w, 3)."""
        if self._faster is None:
            return self._work(pixels)
        like = (pixels.shape[1:], pixels.dtype)
        if self._twin is None or like != self._like or len(pixels) > self._size:
            return self._compared(self._faster, pixels, like)
        try:
            return self._twin(padded(pixels, self._size))[: len(pixels)]
        except RuntimeError as error:
            if is_out_of_memory(error):  # a shorter batch, padded again, would not fit either
                self._give_up("it took too much memory")
            raise

    def _compared(self, faster: Faster, pixels: torch.Tensor, like: tuple[object, ...]) -> torch.Tensor:
        plain = self._work(pixels)
        try:
            twin = faster(pixels)
            found = twin(pixels)
        except RuntimeError as error:
            if is_lost_device(error):
                raise
            self._give_up(f"it could not be made ({type(error).__name__})")
            return plain
        apart = float((found - plain).abs().max()) / max(float(plain.abs().max()), 1e-30)
        if not apart <= self._tolerance:
            self._give_up(f"its features are off by {apart:.2g} of the greatest; {self._tolerance:g} is allowed")
            return plain
        self._twin, self._like, self._size = twin, like, len(pixels)
        return found

    def _give_up(self, why: str) -> None:
        self._twin = self._faster = None
        self._notes.add(f"the accelerated network is not used: {why}")


def padded(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """`pixels` (b, h, w, 3) followed by copies of the last tile, `size` in all."""
    import torch

    if len(pixels) == size:
        return pixels
    return torch.cat([pixels, pixels[-1:].expand(size - len(pixels), *pixels.shape[1:])])


def graph_of(work: Work, example: torch.Tensor) -> Work:
    """`work` as a CUDA graph for batches like `example`. Needs a GPU."""
    import torch

    given = example.clone()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries allocate and choose on their first calls, which a graph may not hold
        for _ in range(3):
            work(given)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may be loading another encoder
        rows = work(given)

    def replayed(pixels: torch.Tensor) -> torch.Tensor:
        given.copy_(pixels)
        graph.replay()
        return rows.clone()  # the next replay writes to the same place

    return replayed
