"""Batches in pieces that fit the memory of a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wsi_features.encode.device.failures import is_out_of_memory
from wsi_features.encode.device.stage import Work
from wsi_features.encode.notes import Notes
from wsi_features.errors import EncoderError

if TYPE_CHECKING:
    import torch


class Halving:
    """Computes whole batches until memory is short; from then on in pieces, halved until they fit.

    `free` gives back what the device keeps in reserve. `halvings` counts, for the record.
    """

    def __init__(self, device: str, free: Callable[[], None], notes: Notes) -> None:
        self.halvings = 0
        self._device = device
        self._free = free
        self._notes = notes
        self._most: int | None = None

    @property
    def most(self) -> int | None:
        """Tiles that are computed at once since memory was short; None while it never was."""
        return self._most

    def rows(self, work: Work, pixels: torch.Tensor) -> torch.Tensor:
        """The rows of `pixels` (b, h, w, 3). Raises EncoderError when a single tile does not fit."""
        while True:
            size = min(self._most or len(pixels), len(pixels))
            found, why = _in_pieces(work, pixels, size)
            if found is not None:
                return found
            if size == 1:
                raise EncoderError.out_of_memory(self._device) from why
            self._halve(size)

    def _halve(self, size: int) -> None:
        self._free()
        self._most = (size + 1) // 2
        self.halvings += 1
        self._notes.add(f"{self._device} had no memory for {size} tiles at once; going on with {self._most}")


def _in_pieces(work: Work, pixels: torch.Tensor, size: int) -> tuple[torch.Tensor | None, RuntimeError | None]:
    """The rows, or why memory was short: outside the `except`, whose error would keep the memory alive."""
    import torch

    try:
        rows = [work(piece) for piece in torch.split(pixels, size)]
        return (rows[0] if len(rows) == 1 else torch.cat(rows)), None
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None, error.with_traceback(None)
