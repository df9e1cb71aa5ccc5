"""What a cohort will cost: tiles, hours of an encoder's device and bytes of stores, and the shards that suit it.

Tiles come from the records of an earlier run where there are any, and otherwise from a quick look at a sample of the
slides; the rate comes from the user, from those records, or from a short trial on this machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_meter, read_record
from wsi_features.stages.encoders import EncoderPlan
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.plan import Plan
from wsi_features.stages.preflight import estimated
from wsi_features.stages.staging import described_near

if TYPE_CHECKING:
    from wsi_features.encode.encoder import Encoder
    from wsi_features.tiles.grid import TileBatch

_SURVEYED = "wsi_features.stages.preflight:surveyed"
_TRIAL_SECONDS = 5.0
_BESIDE_FEATURES = 8 + 8 + 1 + 4
"""Bytes a tile has in a store besides its features: coords, grid, valid, tissue share."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Tiles of some of the slides by tiling, and the seconds one core takes to read a tile; 0 where that is not known."""

    tiles: dict[str, tuple[int, ...]]
    read_seconds: dict[str, float]
    source: Literal["records", "inspection"]
    failed: int = 0

    @property
    def slides(self) -> int:
        """How many slides were counted or looked at."""
        return max((len(counts) for counts in self.tiles.values()), default=0) + self.failed


@dataclass(frozen=True, slots=True)
class Rate:
    """Tiles that one job embeds with all encoders in a second, where that is from, and what sets it."""

    tiles_per_second: float
    source: Literal["given", "records", "trial"]
    limit: Literal["", "encoder", "reading"] = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of a cohort. `error` is the standard error of the tiles as a share, 0 where all slides were counted."""

    slides: int
    sampled: int
    unusable: int
    tiles: int
    error: float
    store_bytes: int
    rate: Rate
    hours: float
    slides_per_shard: int
    shards: int
    hours_per_shard: float


def cohort_estimate(plan: Plan, sample: Sample, rate: Rate, hours_per_shard: float) -> Estimate:
    """The cost of the plan's slides if they are as those of the sample."""
    slides = sum(not row.skip for row in plan.manifest)
    usable = slides * (1 - sample.failed / max(sample.slides, 1))
    means = {name: fmean(counts) if counts else 0.0 for name, counts in sample.tiles.items()}
    tiles = means[plan.encoders[0].tiling]
    hours_a_slide = tiles / rate.tiles_per_second / 3600
    in_shard = max(1, min(slides, round(hours_per_shard / hours_a_slide) if hours_a_slide else slides))
    return Estimate(
        slides=slides,
        sampled=sample.slides,
        unusable=round(slides - usable),
        tiles=round(usable * tiles),
        error=_error(sample.tiles[plan.encoders[0].tiling], slides),
        store_bytes=round(usable * sum(means[encoder.tiling] * bytes_a_tile(encoder) for encoder in plan.encoders)),
        rate=rate,
        hours=usable * hours_a_slide,
        slides_per_shard=in_shard,
        shards=-(-slides // in_shard),
        hours_per_shard=in_shard * hours_a_slide,
    )


def bytes_a_tile(encoder: EncoderPlan) -> int:
    """What one tile takes in this encoder's stores."""
    return encoder.card.dim * (4 if encoder.precision == "fp32" else 2) + _BESIDE_FEATURES


def sample_of(plan: Plan, size: int) -> Sample:
    """Tile counts from the records in OUT when they hold `size` slides at least, else from looking at `size` slides."""
    known = _recorded(plan)
    if known.slides >= min(size, len(plan.manifest)):
        return known
    rows = [row for row in plan.manifest if not row.skip]
    step = max(1, len(rows) // size)
    return inspected_sample(plan, rows[step // 2 :: step][:size])


def inspected_sample(plan: Plan, rows: Sequence[ManifestRow]) -> Sample:
    """Look at these slides, each in a process that it may crash."""
    tilings = {encoder.tiling: encoder.tiles for encoder in plan.encoders}
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in tilings}
    tuning, failed = plan.config.tuning, 0
    with Inspector(tuning.inspect_seconds, tuning.inspect_mib, _SURVEYED) as inspector:
        for row in rows:
            about = described_near(inspector, row, tuning)
            estimates = {name: estimated(about, tiles)["estimate"] for name, tiles in tilings.items()}
            failed += not any(estimates.values())
            for name, estimate in estimates.items():
                found[name] += [estimate] if estimate else []
    tiles = {name: tuple(int(e["tiles"]) for e in estimates) for name, estimates in found.items()}
    seconds = {name: _ratio((e["read_seconds"], e["tiles"]) for e in estimates) for name, estimates in found.items()}
    return Sample(tiles, seconds, "inspection", failed)


def rate_of(plan: Plan, sample: Sample, workers: int) -> Rate:
    """From the meters in OUT, else from a trial of the encoders here; reading on `workers` cores may be what limits it."""
    meters = [read_meter(plan.out.record("embed", shard)) for shard in plan.shards]
    seconds = _ratio((meter["seconds"], meter["tiles"]) for meter in meters if meter)
    if seconds:
        return Rate(1 / seconds, "records")
    encoder = sum(1 / trial(encoder, plan, workers) for encoder in plan.encoders)
    reading = sum(sample.read_seconds.values()) / workers
    return Rate(1 / max(encoder, reading), "trial", "reading" if reading > encoder else "encoder")


def trial(encoder: EncoderPlan, plan: Plan, workers: int) -> float:
    """Tiles a second of one encoder on made tiles: built as for a run, and timed once it is warm."""
    from wsi_features.encode.build import build
    from wsi_features.encode.contract import made_tiles

    tuning = plan.config.tuning
    built = build(
        encoder.card,
        weights=encoder.weights,
        precision=encoder.precision,
        device=tuning.device,
        workers=workers,
        acceleration=tuning.acceleration,
    )
    try:
        few = made_tiles(int(encoder.tiles.size), min(tuning.batch, 16))
        return _tiles_per_second(built, _repeated(few, tuning.batch))
    finally:
        built.close()


def _tiles_per_second(encoder: Encoder, batch: TileBatch) -> float:
    encoder.submit(replace(batch, pixels=batch.pixels.copy())).rows()
    done, started = 0, perf_counter()
    while (seconds := perf_counter() - started) < _TRIAL_SECONDS or not done:
        encoder.submit(replace(batch, pixels=batch.pixels.copy())).rows()
        done += len(batch.rows)
    return done / max(seconds, perf_counter() - started)


def _repeated(batch: TileBatch, size: int) -> TileBatch:
    """A batch of `size` tiles; making each anew would take longer than embedding them."""
    import numpy as np

    pick = np.arange(size) % len(batch.rows)
    return replace(batch, pixels=batch.pixels[pick], rows=np.arange(size), valid=batch.valid[pick])


def _recorded(plan: Plan) -> Sample:
    """What the tile records in OUT hold of the plan's slides."""
    found: dict[str, list[int]] = {encoder.tiling: [] for encoder in plan.encoders}
    failed, ids = 0, {row.slide_id for row in plan.manifest}
    for path in sorted(Outputs(plan.out.root).record("tiles", "x").parent.glob("[0-9]*.json")):
        for slide_id, result in read_record(path).items():
            if slide_id not in ids:
                continue
            failed += result.status == "failed"
            counts = result.facts.get("tiles", {})
            if set(found) <= set(counts):
                for name, total in found.items():
                    total.append(int(counts[name]))
    return Sample({name: tuple(counts) for name, counts in found.items()}, {}, "records", failed)


def _error(counts: Sequence[int], slides: int) -> float:
    if len(counts) >= slides or len(counts) < 2 or not sum(counts):
        return 0.0
    return float(stdev(counts) / fmean(counts) / len(counts) ** 0.5)


def _ratio(pairs: Iterable[tuple[float, float]]) -> float:
    """The sum of the first over that of the second; 0 where there is nothing."""
    both = list(pairs)
    below = sum(second for _, second in both)
    return sum(first for first, _ in both) / below if below else 0.0
