"""The output tree: where every artifact of a run lies. Nothing is written outside it."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def meant(names: Sequence[str], said: str) -> list[str]:
    """The folder that is called so, else all whose names begin so: users need not type the hash at a name's end."""
    return [said] if said in names else [name for name in names if name.startswith(said)]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The folder that a run writes to."""

    root: Path

    @property
    def manifest(self) -> Path:
        """The validated manifest, as run."""
        return self.root / "manifest.json"

    @property
    def status(self) -> Path:
        """One line for each slide."""
        return self.root / "status.tsv"

    @property
    def report(self) -> Path:
        """The cohort's HTML report."""
        return self.root / "report.html"

    @property
    def features(self) -> Path:
        """The folder of all feature sets."""
        return self.root / "features"

    @property
    def marks(self) -> Path:
        """The folder of all marks, which are derived of feature stores."""
        return self.root / "marks"

    @property
    def retries(self) -> Path:
        """How often each slide was asked to be tried again."""
        return self.root / "records" / "retry.json"

    def log(self, name: str) -> Path:
        """A log file."""
        return self.root / "logs" / f"{name}.log"

    def record(self, stage: str, shard: str) -> Path:
        """What became of the slides of a shard in a stage."""
        return self.root / "records" / stage / f"{shard}.json"

    def slide(self, slide_id: str, file: str) -> Path:
        """A slide's preflight.json, thumbnail.jpg, tissue.geojson, tissue.png or classes.png."""
        return self.root / "slides" / slide_id / file

    def tiles(self, tiling: str, slide_id: str) -> Path:
        """A slide's tile table."""
        return self.root / "tiles" / tiling / f"{slide_id}.parquet"

    def tile_tables(self, slide_id: str) -> list[Path]:
        """The tile tables of a slide that are there, of every tiling."""
        return sorted(self.root.glob(f"tiles/*/{glob.escape(slide_id)}.parquet"))

    def stain(self, method: str, slide_id: str) -> Path:
        """A slide's stain parameters."""
        return self.root / "stain" / method / f"{slide_id}.json"

    def store(self, feature_set: str, slide_id: str) -> Path:
        """A slide's feature store."""
        return self.features / feature_set / f"{slide_id}.zarr"

    def marks_of_slide(self, folder: str, slide_id: str) -> Path:
        """The marks of a slide's store."""
        return self.marks / folder / f"{slide_id}.parquet"
