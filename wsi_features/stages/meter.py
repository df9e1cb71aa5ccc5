"""The meter: where the time of an embedding pass went. It goes into records and logs, never into a store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any, Protocol

from wsi_features.tiles.watch import StreamTimes

_MOSTLY = 0.3
"""Share of the pass that the encoders may wait for tiles before reading is called the limit."""


@dataclass(frozen=True, slots=True)
class EncoderShare:
    """What one encoder took: seconds of copying to its device, and of computing there; on a CPU over all threads."""

    device: str
    transfer: float
    model: float


class Metered(Protocol):
    """An encoder that tells what its device took; None before it is built."""

    @property
    def name(self) -> str:
        """On its card."""

    def taken(self) -> EncoderShare | None:
        """Seconds since it was last asked."""

    def notes(self) -> tuple[str, ...]:
        """What a person should know, since it was last asked."""


@dataclass(slots=True)
class Meter:
    """Seconds of one pass over the slides of a shard.

    `stream` is summed over the reading threads. `submitting` and `waiting` are the main thread's: handing batches
    to the encoders, and waiting for their features. `writing` is the writer thread's. `encoders` has what each
    encoder's device took, by name, and `notes` are theirs, of batches halved for lack of memory and the like.
    Where the slides are shared out to several `devices`, the seconds of all are added up.
    """

    started: float = field(default_factory=perf_counter)
    stream: StreamTimes = field(default_factory=StreamTimes)
    submitting: float = 0.0
    waiting: float = 0.0
    writing: float = 0.0
    tiles: int = 0
    devices: int = 1
    encoders: dict[str, EncoderShare] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Since the pass began."""
        return perf_counter() - self.started

    @property
    def busy_share(self) -> float:
        """Share of the pass in which the encoders had work: as their GPU says, or all but the waiting for tiles."""
        seconds = max(self.seconds, 1e-9)
        on_gpu = [share.model for share in self.encoders.values() if share.device != "cpu"]
        waited = self.stream.for_batches / self.devices
        return min(1.0, sum(on_gpu) / self.devices / seconds) if on_gpu else max(0.0, 1 - waited / seconds)

    @property
    def queue(self) -> float:
        """Batches that lay ready when one was taken, in the mean, that one among them."""
        return self.stream.ready / max(self.stream.taken, 1)

    def add(self, other: Meter) -> None:
        """Add what a pass on another device took, beside this one."""
        self.stream.add(other.stream)
        for name in ("submitting", "waiting", "writing", "tiles"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def note_encoders(self, encoders: Iterable[Metered]) -> None:
        """Add what the encoders of one device say of themselves."""
        for encoder in encoders:
            if (share := encoder.taken()) is not None:
                before = self.encoders.get(encoder.name, EncoderShare(share.device, 0, 0))
                self.encoders[encoder.name] = replace(
                    share, transfer=before.transfer + share.transfer, model=before.model + share.model
                )
            self.notes += encoder.notes()

    def facts(self) -> dict[str, Any]:
        """The figures for a record, rounded."""
        own = {
            "seconds": self.seconds,
            "submitting": self.submitting,
            "waiting": self.waiting,
            "writing": self.writing,
            "busy_share": self.busy_share,
            "queue": self.queue,
            "tiles_per_second": self.tiles / max(self.seconds, 1e-9),
        }
        counted: dict[str, Any] = {
            "stream": asdict(self.stream),
            "tiles": self.tiles,
            "devices": self.devices,
            "notes": list(self.notes),
        }
        counted["encoders"] = {name: asdict(share) for name, share in self.encoders.items()}
        counted["advice"] = self.advice()
        return {name: round(value, 3) for name, value in own.items()} | _rounded(counted)

    def advice(self) -> str:
        """One line for a person: what to change to be faster."""
        if not self.tiles:
            return "nothing was embedded"
        if self.writing > max(self.waiting, self.stream.for_batches):
            return "writing takes the most: put the output folder on a faster disk"
        if 1 - self.busy_share > _MOSTLY:
            return "the encoder waits for tiles: raise `tuning.workers`, or stage the slides to a local disk"
        return "the encoder is the limit: a faster device or a lower precision is what helps"


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _rounded(value) if isinstance(value, dict) else round(value, 3) if isinstance(value, float) else value
        for name, value in values.items()
    }
