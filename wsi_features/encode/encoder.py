"""The encoder: tiles in, feature vectors out, as fast as its device allows.

`submit` hands over a batch and returns at once where the device works on its own;
`rows` waits for the numbers. No caller sees a tensor of any framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.stain.transform import StainTransform
from wsi_features.tiles.grid import TileBatch

EMBED_VERSION = 2
"""Method version of the embed stage."""


class Pending(Protocol):
    """The features of one submitted batch, on their way."""

    def rows(self) -> npt.NDArray[np.float32]:
        """Wait and return float32 (b, dim), in the batch's order."""


class Encoder(Protocol):
    """A loaded encoder, ready on its device."""

    @property
    def card(self) -> EncoderCard:
        """What it is."""

    @property
    def weights_digest(self) -> str:
        """SHA-256 of the weights file; empty for an encoder without weights."""

    @property
    def precision(self) -> Precision:
        """Arithmetic in use."""

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Kind of device that computes: `cpu` or `cuda`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how it ran, so far: batches halved for lack of memory, slow arithmetic."""

    @property
    def most(self) -> int | None:
        """Tiles that its device has memory for at once, where a batch did not fit; None while all did."""

    @property
    def seconds(self) -> DeviceSeconds:
        """How long its device has worked, so far."""

    def submit(self, batch: TileBatch, stain: StainTransform | None = None) -> Pending:
        """Start one batch, normalised by `stain` where one is given. The caller may not change `batch` afterwards."""

    def close(self) -> None:
        """Release threads and device memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A `Pending` whose numbers are there already."""

    features: npt.NDArray[np.float32]

    def rows(self) -> npt.NDArray[np.float32]:
        """The features, float32 (b, dim)."""
        return self.features
