"""How fast a cohort was: seconds of each stage, tiles a second, how busy the devices were, and what would help.

All of it is summed over the shard records of the newest run. A shard whose stores were all there already says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import STAGES, read_meter, read_record

_IDLE = 0.3
"""Share of the passes that the encoders may wait for tiles before they are not the limit."""

_READERS = ("opening", "reading", "decoding", "resampling", "measuring", "finishing")


@dataclass(frozen=True, slots=True)
class CohortSpeed:
    """Sums over shards. `seconds` are of embedding passes, `busy` those in which encoders had work, `stream` of readers."""

    stages: dict[str, float]
    shards: int
    tiles: int
    seconds: float
    busy: float
    writing: float
    bytes_read: int
    stream: dict[str, float]

    @property
    def busy_share(self) -> float:
        """Share of the passes in which the encoders had work."""
        return self.busy / self.seconds if self.seconds else 0.0

    def advice(self) -> str:
        """One line for a person: what to change to be faster."""
        if not self.tiles:
            return "nothing was embedded in the newest run"
        if self.writing > 0.5 * self.seconds:
            return "writing-bound: put the output folder on a faster disk"
        if 1 - self.busy_share <= _IDLE:
            return "encoder-bound: a faster device, a lower precision or more jobs at once are what helps"
        slowest = max(_READERS, key=lambda part: self.stream.get(part, 0.0))
        if slowest in {"opening", "reading"}:
            return "reading-bound: stage the slides to a local scratch disk, or raise `tuning.workers`"
        if slowest == "finishing":
            return "stain-bound: give the embedding jobs more cores, or embed on a GPU, which normalises stains itself"
        return "decoding-bound: give the embedding jobs more cores, or decode on the GPU with `read.decode: nvjpeg`"

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Names and values for a table, the advice last."""
        stages = [
            (f"{stage}, s over all slides", f"{seconds:,.1f}") for stage, seconds in self.stages.items() if seconds
        ]
        if not self.tiles:
            return (*stages, ("advice", self.advice()))
        return (
            *stages,
            ("tiles a second", f"{self.tiles / max(self.seconds, 1e-9):,.1f} in a job, {self.tiles:,} tiles in all"),
            ("encoders busy", f"{self.busy_share:.0%} of {self.seconds:,.0f} s in {self.shards:,} jobs"),
            ("read from slides", f"{self.bytes_read / 1e9:,.3f} GB"),
            ("advice", self.advice()),
        )


def cohort_speed(out: Outputs, shards: Iterable[str]) -> CohortSpeed:
    """From the records of these shards."""
    seconds = dict.fromkeys(STAGES, 0.0)
    meters = []
    for shard in shards:
        for stage in STAGES:
            results = read_record(out.record(stage, shard)).values()
            seconds[stage] += sum(result.seconds for result in results if result.stage == stage)
        meters += [meter] if (meter := read_meter(out.record("embed", shard))) else []
    stream: Counter[str] = Counter()
    for meter in meters:
        stream.update(meter["stream"])
    return CohortSpeed(
        stages=seconds,
        shards=len(meters),
        tiles=int(_sum(meters, "tiles")),
        seconds=_sum(meters, "seconds"),
        busy=sum(meter["seconds"] * meter["busy_share"] for meter in meters),
        writing=_sum(meters, "writing"),
        bytes_read=int(stream["bytes_read"]),
        stream=dict(stream),
    )


def _sum(meters: Iterable[dict[str, Any]], name: str) -> float:
    return float(sum(meter[name] for meter in meters))
