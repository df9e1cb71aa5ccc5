"""One GPU as a stage: copy in, network and copy out are queued, and the caller goes on.

Nothing here waits for the whole device: a batch waits for its own copy, a caller of
`rows` for its own batch, and a page-locked buffer for the copy that last used it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.encode.device.failures import lost_device_named
from wsi_features.encode.device.halving import Halving
from wsi_features.encode.device.pinned import PinnedBuffers, pinned
from wsi_features.encode.device.stage import Work, closed
from wsi_features.encode.device.stained import stained
from wsi_features.encode.device.uploads import Uploads, moment
from wsi_features.encode.encoder import Pending
from wsi_features.encode.notes import Notes
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.errors import WsiFeaturesError
from wsi_features.stain.transform import StainTransform

if TYPE_CHECKING:
    import torch


class CudaStage:
    """Streams of one GPU: the next batch is copied in while this one is computed.

    cuDNN would choose its algorithms by timing them, and compute "fp32" convolutions in the
    19 bits of TF32; both are switched off around the network, and only there. For one calling thread.

    Without `uploads` to share, batches are put into page-locked memory by `fillers` threads of its own.
    """

    def __init__(self, device: torch.device, work: Work, uploads: Uploads | None, fillers: int, notes: Notes) -> None:
        import torch

        self._device = device
        self._work = work
        self._uploads = uploads or Uploads(fillers)
        self._shared = uploads is not None
        self._results = PinnedBuffers(pinned)
        self._halving = Halving(str(device), torch.cuda.empty_cache, notes)
        self.seconds = DeviceSeconds()

    @property
    def most(self) -> int | None:
        """Tiles that the GPU has memory for, where a batch did not fit."""
        return self._halving.most

    def submit(self, pixels: npt.NDArray[np.uint8], stain: StainTransform) -> Pending:
        """Queue copy in, network and copy out; what goes wrong is told by `rows`."""
        import torch

        try:
            with torch.cuda.device(self._device), lost_device_named(str(self._device)):
                resident = self._uploads.resident(self._device, pixels, stain, self.seconds)
                begun = moment()
                begun.record()
                return self._on_the_way(self._halving.rows(partial(self._computed, stain), resident), begun)
        except WsiFeaturesError as error:
            return Failed(error)

    def close(self) -> None:
        """Finish what is queued; memory that nothing uses any more goes back to other processes."""
        import torch

        self._work = closed
        if not self._shared:
            self._uploads.close()
        with torch.cuda.device(self._device), lost_device_named(str(self._device)):
            torch.cuda.synchronize()
            torch.cuda.empty_cache()

    def _computed(self, stain: StainTransform, pixels: torch.Tensor) -> torch.Tensor:
        import torch

        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            return self._work(stained(pixels, stain))

    def _on_the_way(self, rows: torch.Tensor, begun: torch.cuda.Event) -> Pending:
        buffer = self._results.borrow(rows.numel() * rows.element_size())
        host = buffer[: rows.numel() * rows.element_size()].view(rows.dtype).view(rows.shape)
        host.copy_(rows, non_blocking=True)
        done = moment()
        done.record()
        give_back = partial(self._results.give_back, buffer, done)
        return _CudaPending(str(self._device), host, begun, done, self.seconds, give_back)


@dataclass(slots=True, eq=False)
class _CudaPending:
    device: str
    host: torch.Tensor
    begun: torch.cuda.Event
    done: torch.cuda.Event
    seconds: DeviceSeconds
    give_back: Callable[[], None]
    features: npt.NDArray[np.float32] | None = field(default=None, init=False)

    def rows(self) -> npt.NDArray[np.float32]:
        """Wait for this batch only; later ones go on. The buffer is free for another batch afterwards."""
        if self.features is None:
            with lost_device_named(self.device):
                self.done.synchronize()
                self.seconds.add(model=self.begun.elapsed_time(self.done) / 1e3)
            self.features = self.host.numpy().copy()
            self.give_back()
        return self.features


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A `Pending` that has no numbers, only a reason."""

    error: WsiFeaturesError

    def rows(self) -> npt.NDArray[np.float32]:
        """Raises that error."""
        raise self.error
