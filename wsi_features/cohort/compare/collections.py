"""What is compared: one store or file, or the slides of an output folder or of a folder of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.compare.sides import is_store
from wsi_features.cohort.imports.detection import files_below
from wsi_features.cohort.manifest import Manifest, manifest_of_output, safe_slide_id
from wsi_features.errors import CompareRequestError
from wsi_features.store import FeatureStore, find_stores, in_any_form, slide_of


@dataclass(frozen=True, slots=True)
class Collection:
    """Paths of stores or files by slide; `lacking` are slides of the manifest without features.

    `single` is whether one store or file was named. `out` and `manifest` are those of the run, where it is known.
    """

    path: Path
    paths: dict[str, Path]
    single: bool = False
    lacking: tuple[str, ...] = ()
    out: Path | None = None
    manifest: Manifest | None = None
    feature_set: str = ""


def collection(path: Path, feature_set: str | None = None) -> Collection:
    """What lies at `path`.

    Raises CompareRequestError where nothing does, OutputError where the feature set is not clear, StoreError for a
    store that is damaged and ImportedError for a folder without features.
    """
    if not path.exists():
        raise CompareRequestError.absent(str(path))
    if is_store(path):
        return _store(path)
    if (path / "manifest.json").is_file():
        return _output(path, feature_set)
    if path.is_dir() and not (path / "coordinates").is_dir():
        return _folder(path)
    return Collection(path, {safe_slide_id(path.stem): path}, single=True)


def _store(path: Path) -> Collection:
    """A store, and the run that made it where it lies in that run's folder."""
    slide_id = FeatureStore.open(path).provenance.slide_id
    above = path.resolve().parents
    out = (
        above[2] if len(above) > 2 and above[1].name == "features" and (above[2] / "manifest.json").is_file() else None
    )
    manifest = manifest_of_output(out)[0] if out else None
    return Collection(path, {slide_id: path}, single=True, out=out, manifest=manifest, feature_set=above[0].name)


def _output(path: Path, feature_set: str | None) -> Collection:
    cohort = Cohort.open(path, feature_set)
    ids = [row.slide_id for row in cohort.manifest]
    paths = {name: in_any_form(cohort.out.store(cohort.feature_set, name)) for name in ids if cohort.has(name)}
    lacking = tuple(name for name in ids if name not in paths)
    return Collection(path, paths, False, lacking, path, cohort.manifest, cohort.feature_set)


def _folder(path: Path) -> Collection:
    """Stores where there are any, else files of one kind."""
    stores = [found for found in find_stores(path) if is_store(found)]
    if not stores:
        return Collection(path, files_below(path))
    paths: dict[str, Path] = {}
    for store in stores:
        other = paths.setdefault(slide_of(store), store)
        if other != store:
            raise CompareRequestError.twice(slide_of(store), str(other), str(store))
    return Collection(path, paths)
