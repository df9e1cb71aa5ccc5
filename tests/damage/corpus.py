"""The damaged corpus: every input by name, written as one cohort, run as a user would, and read back.

The families are the modules beside this one. How each input has to end is written
with it; `tests/damage/test_corpus.py` asks whether it did.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bits
import contents
import forms
import metadata
import names
import nonslides
import pictures
import tags
import truncation
from base import OK, Bases, Input, file_of

FAMILIES: dict[str, tuple[Input, ...]] = {
    "truncation": truncation.inputs(),
    "bits": bits.inputs(),
    "tags": tags.inputs(),
    "metadata": metadata.inputs(),
    "forms": forms.inputs(),
    "pictures": pictures.inputs(),
    "nonslides": nonslides.inputs(),
    "names": names.inputs(),
    "contents": contents.inputs(),
}

INPUTS: dict[str, Input] = {one.name: one for family in FAMILIES.values() for one in family}

CLEAN: dict[str, Input] = {
    one.name: one
    for one in (
        file_of("clean-svs", lambda bases: bases.svs, OK),
        file_of("clean-rgb", lambda bases: bases.rgb, OK),
        file_of("clean-tif", lambda bases: bases.tif, OK, ".tif"),
    )
}
"""Sound slides that run in one cohort with all the others."""

CONFIG = """\
tiles: {size: 128}
tissue: {min_area_um2: 10000}
tuning: {workers: 2, batch: 16, inspect_seconds: 8}
report: {figures: 3}
"""
"""Small tiles and pieces of tissue, so that a small slide has many; else what a user gets who states nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left: exit code, what it printed, the status table by slide, its folder, and how long it took."""

    code: int
    stdout: str
    stderr: str
    status: dict[str, dict[str, str]]
    out: Path
    seconds: float


def cohort(folder: Path, inputs: dict[str, Input]) -> Path:
    """Write the inputs, each in a folder of its own, and the manifest that names them."""
    bases = Bases(folder)
    rows = [
        {"slide_id": name, "path": _written(folder / name, one, bases), **one.fields} for name, one in inputs.items()
    ]
    sheet = folder / "cohort.csv"
    with sheet.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["slide_id", "path", "mpp"], restval="")
        writer.writeheader()
        writer.writerows(rows)
    return sheet


def _written(folder: Path, one: Input, bases: Bases) -> str:
    folder.mkdir()
    return str(one.make(folder, bases))


def run(sheet: Path, out: Path) -> Outcome:
    """The plain command line over a manifest."""
    config = sheet.with_name("config.yaml")
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "wsi_features", "run", str(sheet), "--out", str(out), "--config", str(config)]
    started = time.monotonic()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=sheet.parent, env=environment, timeout=1000
    )
    seconds = time.monotonic() - started
    return Outcome(done.returncode, done.stdout, done.stderr, _status(out), out, seconds)


def stores(outcome: Outcome) -> dict[str, Path]:
    """The store of each slide that has one."""
    return {path.stem: path for path in outcome.out.glob("features/*/*.zarr")}


def digest_of(folder: Path) -> str:
    """SHA-256 of all files below a folder with their names."""
    hashed = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            hashed.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return hashed.hexdigest()


def to_json(outcome: Outcome) -> str:
    """For another process of the same test session."""
    fields = {name: getattr(outcome, name) for name in ("code", "stdout", "stderr", "status", "seconds")}
    return json.dumps(fields | {"out": str(outcome.out)})


def from_json(text: str) -> Outcome:
    fields = json.loads(text)
    return Outcome(**fields | {"out": Path(fields["out"])})


def _status(out: Path) -> dict[str, dict[str, str]]:
    path = out / "status.tsv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["slide_id"]: row for row in csv.DictReader(file, delimiter="\t")}
