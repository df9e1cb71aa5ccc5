"""The encoder around a network, whatever built it: pixels to rows on one device, with the weights of a local file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.device.arithmetic import prepared
from wsi_features.encode.device.choice import choose_device, cpu_split
from wsi_features.encode.device.cuda import CudaStage
from wsi_features.encode.device.failures import is_out_of_memory
from wsi_features.encode.device.fixed import TOLERANCE, Acceleration, FixedBatch, graph_of
from wsi_features.encode.device.host import HostStage
from wsi_features.encode.device.retry import Fp32Retry, NonFinite
from wsi_features.encode.device.stage import Stage, Work
from wsi_features.encode.device.uploads import Uploads
from wsi_features.encode.encoder import Pending, Ready
from wsi_features.encode.loading import loaded_network
from wsi_features.encode.networks import is_program
from wsi_features.encode.notes import Notes
from wsi_features.encode.outline import feature_rows
from wsi_features.encode.preprocess import Preprocess
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.errors import EncoderError
from wsi_features.stain.transform import Identity, StainTransform
from wsi_features.tiles.grid import TileBatch

if TYPE_CHECKING:
    import torch
    from torch import nn

_BUILDING = Lock()
"""One network at a time: builds in several threads would only share the memory and the disk."""


class NetworkEncoder:
    """A loaded network on its device."""

    def __init__(
        self,
        card: EncoderCard,
        *,
        weights_digest: str,
        precision: Precision,
        device: torch.device,
        stage: Stage,
        notes: Notes,
        retry: Fp32Retry | None = None,
    ) -> None:
        self.card = card
        self.weights_digest = weights_digest
        self.precision: Precision = precision
        self.device: Literal["cpu", "cuda"] = "cuda" if device.type == "cuda" else "cpu"
        self._stage = stage
        self._notes = notes
        self._retry = retry

    @property
    def most(self) -> int | None:
        """Tiles that its device has memory for at once, where a batch did not fit; None while all did."""
        return self._stage.most

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how it ran: batches halved for lack of memory, slow arithmetic."""
        return self._notes.texts

    @property
    def seconds(self) -> DeviceSeconds:
        """How long the device has worked, so far."""
        return self._stage.seconds

    def submit(self, batch: TileBatch, stain: StainTransform | None = None) -> Pending:
        """Start one batch and return at once. `stain` is applied on the device where that can be done."""
        if not len(batch.pixels):
            return Ready(np.empty((0, self.card.dim), np.float32))
        chosen = Identity() if stain is None else stain
        pending = self._stage.submit(batch.pixels, chosen)
        return pending if self._retry is None else self._retry.watched(pending, batch.pixels, chosen)

    def close(self) -> None:
        """Wait for what is running; release threads and memory."""
        self._stage.close()
        if self._retry is not None:
            self._retry.close()


def build_network(  # noqa: PLR0913 - what `build` is given, by name
    card: EncoderCard,
    weights: Path,
    *,
    precision: Precision,
    nonfinite: NonFinite = "fail",
    device: str,
    workers: int,
    acceleration: Acceleration = "none",
    uploads: Uploads | None = None,
) -> NetworkEncoder:
    """The encoder of `card` with the weights of a local file; `workers` is the number of threads on a CPU.

    fp16 and bf16 also run on a CPU, since the precision belongs to the features and may not
    depend on the machine; there bf16 is 1.8 times as fast as fp32 (ViT-S, AVX512_BF16), fp16 5 %
    slower. With `nonfinite` fp32 a second network, loaded when it is first needed, computes the tiles of
    which this one makes NaN or infinity. `acceleration` is for GPUs. Encoders with the same `uploads`
    share the copies of their batches. May run in any thread. Raises CardError, WeightsError and, for an
    absent GPU or what a finished program cannot do, EncoderError.
    """
    place = choose_device(device)
    if is_program(card.builder) and precision != card.precision:
        raise EncoderError.fixed_precision(card.name, precision, card.precision)
    if is_program(card.builder) and nonfinite == "fp32":
        raise EncoderError.no_second_precision(card.name, card.precision)
    with _BUILDING:
        network, digest = loaded_network(card, weights, place)
        notes = Notes()
        placed = _placed(card, network, precision, place, notes)
    stage: Stage
    if place.type == "cpu":
        stage = HostStage(placed, workers)
    else:
        kind = "none" if is_program(card.builder) else acceleration  # programs may leave the GPU on the way
        work = _accelerated(placed, kind, TOLERANCE[precision], notes)
        _, fillers = cpu_split(workers, "network", "cuda")
        stage = CudaStage(place, work, uploads, fillers, notes)
    found = card.model_copy(update={"weights_sha256": digest})  # the file may not have changed by then
    retry = Fp32Retry(partial(_in_fp32, found, weights, place, workers, notes), notes) if nonfinite == "fp32" else None
    return NetworkEncoder(
        card, weights_digest=digest, precision=precision, device=place, stage=stage, notes=notes, retry=retry
    )


def _in_fp32(card: EncoderCard, weights: Path, place: torch.device, workers: int, notes: Notes) -> Stage:
    """A second stage for the same network, computing in fp32. Raises WeightsError and, without memory for it, EncoderError."""
    try:
        with _BUILDING:
            network, _ = loaded_network(card, weights, place)
            placed = _placed(card, network, "fp32", place, notes)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise EncoderError.no_memory_for_fp32(card.name, str(place)) from error
        raise
    return HostStage(placed, workers) if place.type == "cpu" else CudaStage(place, placed, None, 1, notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """A network on its device with all that belongs to the way from pixels to rows."""

    card: EncoderCard
    network: Callable[[torch.Tensor], torch.Tensor]
    preprocess: Preprocess
    autocast: torch.dtype | None

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Grey levels (b, h, w, 3) to float32 rows (b, dim)."""
        import torch

        enabled = self.autocast is not None
        kind = pixels.device.type
        with torch.inference_mode(), torch.autocast(kind, dtype=self.autocast, enabled=enabled, cache_enabled=False):
            return feature_rows(self.card, self.network(self.preprocess(pixels)))


def _placed(
    card: EncoderCard, network: nn.Module, precision: Precision, device: torch.device, notes: Notes
) -> _Network:
    """The network, which is on `device`, computing in `precision`; a finished program computes as it was saved."""
    import torch

    preprocess = Preprocess.of(card, device)
    if is_program(card.builder):
        return _Network(card, network, preprocess, None)
    placed = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    return _Network(card, placed, preprocess, prepared(placed, precision, device, notes))


def _accelerated(plain: _Network, kind: Acceleration, tolerance: float, notes: Notes) -> Work:
    """The network's work on a GPU: as it is, or by a CUDA graph of it, compiled or not."""
    import torch

    if kind == "none":
        return plain
    kernels = replace(plain, network=torch.compile(plain.network, dynamic=False)) if kind == "compile" else plain
    return FixedBatch(plain, partial(graph_of, kernels), tolerance, notes)
