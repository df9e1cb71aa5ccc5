"""Where a network runs, and how batches get there and back without the caller waiting.

On CUDA the copy in, the network and the copy out are queued on streams; on the CPU
threads compute while the caller reads on (torch releases the interpreter lock). Both
give the same `Pending`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.encode.encoder import Pending
from wsi_features.errors import EncoderError

if TYPE_CHECKING:
    import torch

Work = Callable[["torch.Tensor"], "torch.Tensor"]
"""uint8 (b, h, w, 3) to float32 (b, dim), both on the device; safe to call from several threads."""

_PIECE = 4  # tiles: few enough to keep every thread busy, enough for an efficient matrix product


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:1` as a device that is really there; `auto` prefers CUDA.

    Raises EncoderError when CUDA is asked for and absent.
    """
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", wanted)
    if match is None:
        raise EncoderError.unknown_device(wanted)
    index, present = int(match[1] or 0), torch.cuda.device_count()
    if index >= present:
        raise EncoderError.no_device(wanted, present)
    return torch.device("cuda", index)


class Stage(Protocol):
    """Runs batches on one device, in the order in which they were submitted."""

    def submit(self, pixels: npt.NDArray[np.uint8]) -> Pending:
        """Start one batch; `pixels` is copied before this returns."""

    def close(self) -> None:
        """Wait for what is running and let go of the network, and so of its memory."""


def stage_for(device: torch.device, work: Work, *, threads: int) -> Stage:
    """The stage of `device`; `threads` is the number of cores used on a CPU, and changes no number."""
    return CudaStage(device, work) if device.type == "cuda" else HostStage(work, threads)


class HostStage:
    """Threads that each compute a few tiles, with one core each.

    torch's own way of using several cores changes the last bits with their number (seen).
    Pieces of a fixed size, each computed by one core, give the same bytes on any number.
    """

    def __init__(self, work: Work, threads: int) -> None:
        import torch

        self._work = work
        self._before = torch.get_num_threads()
        self._executor = ThreadPoolExecutor(
            max(1, threads), "encoder", initializer=torch.set_num_threads, initargs=(1,)
        )

    def submit(self, pixels: npt.NDArray[np.uint8]) -> Pending:
        """Queue the pieces of one batch."""
        starts = range(0, len(pixels), _PIECE)
        pieces = (_staged(pixels[start : start + _PIECE], pinned=False) for start in starts)
        return _HostPending([self._executor.submit(self._work, piece) for piece in pieces])

    def close(self) -> None:
        """Finish what is running, drop what is queued."""
        import torch

        self._executor.shutdown(wait=True, cancel_futures=True)
        self._work = _closed
        torch.set_num_threads(self._before)  # threads that are started from now on would inherit the 1


@dataclass(frozen=True, slots=True, eq=False)
class _HostPending:
    pieces: list[Future[torch.Tensor]]

    def rows(self) -> npt.NDArray[np.float32]:
        """Wait for every piece."""
        return np.concatenate([piece.result().numpy() for piece in self.pieces])


class CudaStage:
    """Streams of one GPU: the next batch is copied in while this one is computed.

    cuDNN would choose its algorithms by timing them, and compute "fp32" convolutions in the
    19 bits of TF32; both are switched off around the network, and only there.
    """

    def __init__(self, device: torch.device, work: Work) -> None:
        import torch

        self._device = device
        self._work = work
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def submit(self, pixels: npt.NDArray[np.uint8]) -> Pending:
        """Queue copy in, network and copy out."""
        import torch

        with torch.cuda.device(self._device):
            compute = torch.cuda.current_stream()
            with torch.cuda.stream(self._copies):
                resident = _staged(pixels, pinned=True).to(self._device, non_blocking=True)
            compute.wait_stream(self._copies)
            resident.record_stream(compute)  # or its memory could be reused while the network still reads it
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                rows = self._work(resident)
            host = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            host.copy_(rows, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            done.record(compute)
        return _CudaPending(host, done)

    def close(self) -> None:
        """Finish what is queued; memory that nothing uses any more goes back to other processes."""
        import torch

        self._work = _closed
        with torch.cuda.device(self._device):
            torch.cuda.synchronize()
            torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True, eq=False)
class _CudaPending:
    host: torch.Tensor
    done: torch.cuda.Event

    def rows(self) -> npt.NDArray[np.float32]:
        """Wait for this batch only; later ones go on."""
        self.done.synchronize()
        return self.host.numpy()


def _closed(_: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("a batch was submitted to a closed encoder")


def _staged(pixels: npt.NDArray[np.uint8], *, pinned: bool) -> torch.Tensor:
    """A private copy in host memory, page-locked where the GPU fetches it by itself."""
    import torch

    staged = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=pinned)
    staged.numpy()[...] = pixels
    return staged
