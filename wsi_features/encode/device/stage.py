"""The stage: what every device offers to an encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.encode.encoder import Pending
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.stain.transform import StainTransform

if TYPE_CHECKING:
    import torch

Work = Callable[["torch.Tensor"], "torch.Tensor"]
"""Grey levels (b, h, w, 3), uint8 or float32, to float32 rows (b, dim) on the same device.

Safe to call from several threads. A row depends on its own tile only.
"""


class Stage(Protocol):
    """Runs batches on one device, in the order in which they were submitted."""

    seconds: DeviceSeconds
    """How long the device has worked for this stage, so far."""

    @property
    def most(self) -> int | None:
        """Tiles that the device has memory for at once, where a batch did not fit; None while all did."""

    def submit(self, pixels: npt.NDArray[np.uint8], stain: StainTransform) -> Pending:
        """Start one batch, stain-normalised on the way. `pixels` may not change until its rows are there."""

    def close(self) -> None:
        """Wait for what is running and let go of the network, and so of its memory."""


def closed(_: torch.Tensor) -> torch.Tensor:
    """What a closed stage has in place of its work."""
    raise RuntimeError("a batch was submitted to a closed encoder")
