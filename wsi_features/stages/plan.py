"""The plan of a run: the config, its manifest in shards, and what must cause a rerun of each.

The workflow puts these texts into its `params`: it reruns a job when one of them
changes, and only then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from wsi_features.cohort.keep import KEEP_VERSION
from wsi_features.cohort.manifest import READ_BY_NO_STAGE, Manifest, ManifestRow, manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import STAGES
from wsi_features.cohort.sheets import manifest_from
from wsi_features.config import Config, config_from
from wsi_features.encode.weights_store import named_digest
from wsi_features.errors import ConfigError
from wsi_features.files import read_json
from wsi_features.recipe import canonical_json, digest
from wsi_features.slides.folders import companions
from wsi_features.slides.remote import is_remote, remote_stamp
from wsi_features.stages.encoders import EncoderPlan, encoder_plans, tilings
from wsi_features.stages.segmenters import tissue_recipe_json
from wsi_features.stain.recipe import stain_recipe_json

_ONE_FILE = (".svs", ".tif", ".tiff", ".ndpi", ".scn", ".bif", ".svslide", ".czi", ".jp2", ".png", ".jpg", ".jpeg")
"""Slides of one file, which need not be opened to find others: on a network file system that takes minutes."""


@dataclass(frozen=True)
class Plan:
    """What a run will do; made before anything is done, so a wrong input costs seconds."""

    config: Config
    manifest: Manifest

    @property
    def out(self) -> Outputs:
        """Where the run writes."""
        return Outputs(Path(self.config.out))

    @cached_property
    def shards(self) -> dict[str, tuple[ManifestRow, ...]]:
        """The manifest's rows by shard name."""
        return self.manifest.shards(self.config.tuning.slides_per_shard)

    @cached_property
    def encoders(self) -> tuple[EncoderPlan, ...]:
        """The encoders with the tiles each one gets."""
        return encoder_plans(self.config)

    def check(self, stages: Sequence[str]) -> None:
        """Raise UsageError for what would stop `stages` on every slide: encoders, tiles, weights, tissue model, stain target."""
        stain_recipe_json(self.config.stain)
        tissue_recipe_json(self.config.tissue)
        for encoder in self.encoders:
            if "embed" in stages:
                _ = encoder.weights

    @cached_property
    def manifest_digest(self) -> str:
        """Changes with any cell of the manifest, and with the cut into shards."""
        return digest(self.manifest.to_json(self.config.tuning.slides_per_shard))

    @property
    def config_text(self) -> str:
        """The whole config as JSON text, for the command line of a job."""
        return self.config.model_dump_json()

    def recipe(self, stage: str) -> str:
        """What changes the numbers of one stage, as JSON text; earlier stages rerun it through their records."""
        return canonical_json(getattr(self, f"_{stage}_recipe")())

    def slides(self, shard: str) -> str:
        """The rows of a shard with size and time of their files and the retries asked for, as JSON text.

        Four stages ask for it; the files of a large cohort are looked at once.
        """
        if shard not in self._slides:
            self._slides[shard] = self._described(shard)
        return self._slides[shard]

    @cached_property
    def _slides(self) -> dict[str, str]:
        return {}

    def _described(self, shard: str) -> str:
        rows = [
            {
                **row.model_dump(exclude_none=True, exclude_defaults=True, exclude=READ_BY_NO_STAGE),
                "file": _stamp(row.path),
            }
            | ({"outlines": _stamp(row.annotations)} if row.annotations else {})
            | ({"list": _stamp(row.coordinates)} if row.coordinates else {})
            | ({"mask_file": _stamp(row.mask)} if row.mask else {})
            | ({"retry": self._retries[row.slide_id]} if row.slide_id in self._retries else {})
            for row in self.shards[shard]
        ]
        return canonical_json(rows)

    @cached_property
    def _retries(self) -> dict[str, Any]:
        return retries(self.out)

    def _tissue_recipe(self) -> Any:
        # What lets a slide pass is no part of a fingerprint, but a slide that it refused must be looked at again.
        tissue, named = self.config.tissue, list(self.config.tiles.named_classes)
        passes = {"without_class": tissue.without_class} if tissue.without_class != "fail" else {}
        return tissue_recipe_json(tissue) | passes | ({"classes": named} if named else {})

    def _tiles_recipe(self) -> Any:
        tiles, found = self.config.tiles, {n: tiles.canonical() for n, tiles in tilings(self.encoders).items()}
        return found | ({"absent_class": tiles.absent_class} if tiles.absent_class != "accept" else {})

    def _stain_recipe(self) -> Any:
        return stain_recipe_json(self.config.stain)

    def _embed_recipe(self) -> Any:
        quality = self.config.quality.embedded()
        return ({"quality": quality} if quality else {}) | {
            "read": self.config.read.canonical(),
            "encoders": [
                [plan.card.canonical(), plan.precision, _weights_mark(plan.weights)] for plan in self.encoders
            ],
        }

    def _marks_recipe(self) -> Any:
        return {"thresholds": self.config.quality.thresholds_json(), "version": KEEP_VERSION}


def _weights_mark(path: Path | None) -> str | list[int]:
    """What changes with a weights file: the digest that it is named by, so that a copied registry reruns nothing."""
    return (named_digest(path) or _stamp(str(path))) if path else []


def plan_of(values: dict[str, Any], *, in_job: bool = False) -> Plan:
    """Check a config as the workflow has it and the manifest that it names. Raises UsageError.

    Snakemake plans anew within every cluster job; there (`in_job`) the manifest is taken as the run's start checked and
    wrote it, since a check of 50,000 rows would cost each of thousands of jobs more than its own work.
    """
    config = config_from(values, "of the workflow")
    if set(config.out) & set("{}"):  # Snakemake takes these for wildcards
        raise ConfigError.invalid("of the workflow", "out", config.out, "the workflow needs a path without braces")
    if in_job:
        return Plan(config, manifest_of_output(Path(config.out))[0])
    plan = Plan(config, manifest_from([config.manifest]))
    plan.check(STAGES)
    return plan


def retries(out: Outputs) -> dict[str, int]:
    """How often each slide was asked to be tried again."""
    return read_json(out.retries) if out.retries.is_file() else {}


def _stamp(path: str | None) -> list[int] | str:
    """Size and newest modification time of all its files: a repaired one is picked up, an unchanged one costs one look."""
    if not path:
        return []
    if is_remote(path):
        return _remote_stamp(path)
    others = () if path.lower().endswith(_ONE_FILE) else companions(Path(path))
    try:
        found = [Path(path).stat(), *(file.stat() for file in others)]
    except OSError:
        return []
    return [sum(info.st_size for info in found), max(info.st_mtime_ns for info in found)]


def _remote_stamp(path: str) -> list[int] | str:
    try:
        return remote_stamp(path)
    except OSError:
        return []
