"""Batches on GPUs: each is copied there once, for all encoders that take it one after another."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.encode.device.pinned import PinnedBuffers, pinned
from wsi_features.encode.device.stained import runs_on_device
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.stain.transform import Identity, StainTransform

if TYPE_CHECKING:
    import torch

_SLICE = 16  # tiles that one thread puts into page-locked memory at a time


class Uploads:
    """The last batch on each GPU, and the streams and buffers that take batches there.

    Encoders that are built with the same `Uploads` share it. For one calling thread.
    """

    def __init__(self, fillers: int = 1) -> None:
        self._executor = ThreadPoolExecutor(max(1, fillers), "upload")
        self._devices: dict[torch.device, _Device] = {}

    def resident(
        self, device: torch.device, pixels: npt.NDArray[np.uint8], stain: StainTransform, seconds: DeviceSeconds
    ) -> torch.Tensor:
        """`pixels` on `device`, uint8, ready for work on the current stream.

        A transform that cannot run on the device is applied on the way. `seconds` are those of the encoder for
        which a batch is copied; others that share it get it for nothing.
        """
        if device not in self._devices:
            self._devices[device] = _Device.of(device)
        on_the_way = Identity() if runs_on_device(stain) else stain
        return self._devices[device].resident(pixels, on_the_way, self._executor, seconds)

    def close(self) -> None:
        """Let go of the batches and buffers."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._devices.clear()


@dataclass(slots=True, eq=False)
class _Device:
    """One GPU: its copy stream, its page-locked buffers, and the batch that lies there."""

    device: torch.device
    copies: torch.cuda.Stream
    buffers: PinnedBuffers
    pixels: npt.NDArray[np.uint8] | None = None
    stain: StainTransform | None = None
    batch: torch.Tensor | None = None
    unmeasured: deque[tuple[torch.cuda.Event, torch.cuda.Event, DeviceSeconds]] = field(default_factory=deque)

    @classmethod
    def of(cls, device: torch.device) -> _Device:
        import torch

        copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return cls(device, copies, PinnedBuffers(pinned))

    def resident(
        self,
        pixels: npt.NDArray[np.uint8],
        stain: StainTransform,
        executor: ThreadPoolExecutor,
        seconds: DeviceSeconds,
    ) -> torch.Tensor:
        """The batch, once the current stream has been told to wait for its copy."""
        import torch

        # The very same array is the very same batch: its caller may not change it.
        if self.batch is None or self.pixels is not pixels or self.stain != stain:
            self.pixels = self.stain = self.batch = None  # its memory is free for the next one
            self.batch = self._copied(pixels, stain, executor, seconds)
            self.pixels, self.stain = pixels, stain
        compute = torch.cuda.current_stream(self.device)
        compute.wait_stream(self.copies)
        self.batch.record_stream(compute)  # or its memory could be reused while a network still reads it
        return self.batch

    def _copied(
        self,
        pixels: npt.NDArray[np.uint8],
        stain: StainTransform,
        executor: ThreadPoolExecutor,
        seconds: DeviceSeconds,
    ) -> torch.Tensor:
        import torch

        buffer = self.buffers.borrow(pixels.size)
        staged = buffer[: pixels.size].view(pixels.shape)
        fill(staged.numpy(), pixels, stain, executor)
        with torch.cuda.stream(self.copies):
            begun, copied = moment(), moment()
            begun.record(self.copies)
            batch = staged.to(self.device, non_blocking=True)
            copied.record(self.copies)
        self.buffers.give_back(buffer, copied)
        self.unmeasured.append((begun, copied, seconds))
        while self.unmeasured[0][1].query():  # type: ignore[no-untyped-call]  # torch leaves it untyped
            first, last, whose = self.unmeasured.popleft()
            whose.add(transfer=first.elapsed_time(last) / 1e3)
            if not self.unmeasured:
                break
        return batch


def moment() -> torch.cuda.Event:
    """An event that can be waited for without keeping a core busy, and that knows when it was."""
    import torch

    found: torch.cuda.Event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return found


def fill(
    staged: npt.NDArray[np.uint8], pixels: npt.NDArray[np.uint8], stain: StainTransform, executor: ThreadPoolExecutor
) -> None:
    """Write the normalised pixels (b, h, w, 3) into `staged`, several threads side by side."""

    def written(start: int) -> None:
        part = slice(start, start + _SLICE)
        staged[part] = stain.apply(pixels[part])

    for _ in executor.map(written, range(0, len(pixels), _SLICE)):
        pass
