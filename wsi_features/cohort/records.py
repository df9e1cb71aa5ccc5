"""Shard records: how each slide of a shard ended in one stage.

A record is the only file that a cluster job declares. It says what was done; whether an
artifact is right is asked of the artifact's own fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from wsi_features.files import read_json, write_json

Status = Literal["ok", "empty", "skipped", "failed"]
STAGES = ("tissue", "tiles", "stain", "embed", "marks")


@dataclass(frozen=True, slots=True)
class SlideResult:
    """How one slide ended in one stage.

    `stage` is where the status was decided: a slide that failed in `tissue` carries that through
    the later stages. `facts` holds what the status table and the report show.
    """

    status: Status
    stage: str
    fingerprint: str = ""
    reason: str = ""
    message: str = ""
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether later stages have something to work with."""
        return self.status in {"ok", "empty"}


Record = dict[str, SlideResult]


def write_record(
    path: Path, stage: str, shard: str, results: Record, meter: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Write the results of one shard, by slide_id, and where the time went."""
    slides = {slide_id: asdict(result) for slide_id, result in results.items()}
    document = {"stage": stage, "shard": shard, "slides": slides}
    write_json(path, document | ({"meter": dict(meter)} if meter else {}))


def read_meter(path: Path) -> dict[str, Any]:
    """Where the time of a shard went; empty where nothing was embedded."""
    try:
        return dict(read_json(path).get("meter", {}))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def read_record(path: Path) -> Record:
    """The results of one shard; an absent or cut file holds none."""
    try:
        slides = read_json(path)["slides"]
        return {slide_id: SlideResult(**result) for slide_id, result in slides.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
