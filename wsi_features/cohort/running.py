"""How far a cohort is: slides finished in each stage, rate and time left, from the shard records alone.

A stage's rate is that of its newest records, so that a run which was stopped for days does not look slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsi_features.cohort.manifest import Manifest, manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import STAGES, SlideResult, read_meter, read_record

_WINDOW_SECONDS = 3600.0
"""How far back from its newest record the rate of a stage is taken."""


@dataclass(frozen=True, slots=True)
class StageProgress:
    """One stage: slides with a record of all, by status, and slides per hour over its newest records; 0 is unknown."""

    stage: str
    slides: int
    done: int
    counts: Mapping[str, int]
    per_hour: float

    @property
    def hours_left(self) -> float | None:
        """At this rate; None where there is none yet."""
        if self.done >= self.slides:
            return 0.0
        return (self.slides - self.done) / self.per_hour if self.per_hour else None


@dataclass(frozen=True, slots=True)
class CohortProgress:
    """All stages, and the slides that failed so far, each once."""

    stages: tuple[StageProgress, ...]
    failures: Mapping[str, SlideResult] = field(default_factory=dict)

    @property
    def hours_left(self) -> float | None:
        """Of the slowest stage that has a rate: stages work side by side."""
        known = [left for stage in self.stages if (left := stage.hours_left) is not None]
        return max(known) if any(known) or all(stage.hours_left == 0 for stage in self.stages) else None

    def reasons(self) -> dict[str, int]:
        """Failures by reason code, the most frequent first."""
        return dict(Counter(result.reason for result in self.failures.values()).most_common())


def is_collected(out: Outputs) -> bool:
    """Whether the status table is there and newer than every record."""
    try:
        written = out.status.stat().st_mtime_ns
    except OSError:
        return False
    return not any(path.stat().st_mtime_ns > written for stage in STAGES for path in _records(out, stage))


def cohort_progress(out: Outputs) -> CohortProgress:
    """Read all records of a run that may still be under way. Raises OutputError where there is no run."""
    manifest, size = manifest_of_output(out.root)
    failures: dict[str, SlideResult] = {}
    stages = tuple(_stage_progress(out, stage, manifest, size, failures) for stage in STAGES)
    return CohortProgress(stages, failures)


def _records(out: Outputs, stage: str) -> list[Path]:
    return sorted(out.record(stage, "x").parent.glob("[0-9]*.json"))


def _stage_progress(
    out: Outputs, stage: str, manifest: Manifest, size: int, failures: dict[str, SlideResult]
) -> StageProgress:
    counts: Counter[str] = Counter()
    finished = []
    for shard, rows in manifest.shards(size).items():
        path = out.record(stage, shard)
        record = read_record(path)
        results = {row.slide_id: record[row.slide_id] for row in rows if row.slide_id in record}
        counts.update(result.status for result in results.values())
        failures.update({name: r for name, r in results.items() if r.status == "failed" and name not in failures})
        if worked := [r for r in results.values() if r.stage == stage and r.seconds > 0]:
            finished.append((path.stat().st_mtime, len(results), _job_seconds(path, worked)))
    return StageProgress(stage, len(manifest), counts.total(), dict(counts), _per_hour(finished))


def _job_seconds(path: Path, results: Iterable[SlideResult]) -> float:
    """How long a job took: slides of an embedding pass overlap, so there its meter knows."""
    return float(read_meter(path).get("seconds", 0.0)) or sum(result.seconds for result in results)


def _per_hour(finished: Sequence[tuple[float, int, float]]) -> float:
    """Slides per hour of jobs given by (end, slides, seconds), over those that ended in the newest hour."""
    if not finished:
        return 0.0
    newest = max(end for end, _, _ in finished)
    recent = [job for job in finished if job[0] >= newest - _WINDOW_SECONDS]
    began = min(end - seconds for end, _, seconds in recent)
    return 3600 * sum(slides for _, slides, _ in recent) / max(newest - began, 1e-3)
