"""GeoJSON of a run for QuPath: tissue outlines, tiles with all that was measured, annotations as they were understood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.manifest import ManifestRow, manifest_of_output, rows_named
from wsi_features.cohort.marks import marks_of
from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import CurationError, OutputError
from wsi_features.files import write_lines
from wsi_features.geometry import Size
from wsi_features.recipe import Json
from wsi_features.stages.annotated import areas_on
from wsi_features.stages.preflight.recorded import UNREADABLE, recorded_size
from wsi_features.store import FeatureStore, find_stores
from wsi_features.tiles import read_tiles
from wsi_features.tissue.annotations import annotations_text
from wsi_features.tissue.tile_objects import ObjectType, tiles_text

What = Literal["tiles", "tissue", "annotations"]


@dataclass(frozen=True, slots=True)
class GeoJsonRequest:
    """What `wsi-features geojson` is asked for; `to` is OUT/geojson unless given, `feature_set` how its name begins."""

    what: What = "tiles"
    slides: tuple[str, ...] = ()
    kind: ObjectType = "detection"
    feature_set: str | None = None
    to: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Tiles:
    """The tiles of one slide, where they come from, and their columns."""

    origins: npt.NDArray[np.int64]
    span: int
    valid: npt.NDArray[np.bool_]
    columns: Mapping[str, npt.NDArray[Any]]
    about: Json


def exported(out: Outputs, asked: GeoJsonRequest) -> Iterator[Path]:
    """Write one file a slide and give its path. Raises UsageError when there is nothing to write, and SlideError."""
    manifest, _ = manifest_of_output(out.root)
    rows = rows_named(manifest, asked.slides, out.root)
    folder = (asked.to or out.root / "geojson") / asked.what
    count = 0
    for slide_id, lines in _texts(out, asked, rows):
        path = folder / f"{slide_id}.geojson"
        write_lines(path, lines)
        count += 1
        yield path
    if not count:
        raise CurationError.nothing(str(out.root), asked.what)


def _texts(out: Outputs, asked: GeoJsonRequest, rows: Sequence[ManifestRow]) -> Iterator[tuple[str, Iterable[str]]]:
    """The lines of each slide that has what is asked for."""
    if asked.what == "tiles":
        for slide_id, tiles in _tiles(out, asked, rows):
            classes = np.where(tiles.valid, "", "Invalid tile").tolist()
            yield (
                slide_id,
                tiles_text(
                    tiles.origins, tiles.span, tiles.columns, classes=classes, kind=asked.kind, extra=tiles.about
                ),
            )
        return
    for row in rows:
        if asked.what == "tissue" and (path := out.slide(row.slide_id, "tissue.geojson")).is_file():
            yield row.slide_id, path.read_text(encoding="utf-8").splitlines()
        elif asked.what == "annotations" and row.annotations:
            areas = areas_on(row, _slide_size(out, row.slide_id))
            yield row.slide_id, annotations_text(areas, extra={"slide_id": row.slide_id}).splitlines()


def _slide_size(out: Outputs, slide_id: str) -> Size:
    try:
        return recorded_size(out, slide_id)
    except UNREADABLE as error:
        raise CurationError.nothing(str(out.root), "preflight.json") from error


def _tiles(out: Outputs, asked: GeoJsonRequest, rows: Sequence[ManifestRow]) -> Iterator[tuple[str, _Tiles]]:
    """Of the stores, or where nothing is embedded yet of the tile tables."""
    if find_stores(out.features):
        cohort = Cohort.open(out.root, asked.feature_set)
        for row in rows:
            if cohort.has(row.slide_id):
                yield row.slide_id, _of_store(out, cohort.store(row.slide_id))
        return
    tiling = _tiling(out, asked.feature_set)
    for row in rows:
        path = out.tiles(tiling, row.slide_id)
        if path.is_file():
            yield row.slide_id, _of_table(row.slide_id, path)


def _of_store(out: Outputs, store: FeatureStore) -> _Tiles:
    """All columns of the store, and those of its marks under the marks' names."""
    columns: dict[str, npt.NDArray[Any]] = {"row": np.arange(len(store)), **store.columns}
    for folder, marks in marks_of(out, store):
        name = folder.partition("__")[0]
        for k, column in enumerate(marks.columns):
            plain = column if column.startswith(f"{name}:") else f"{name}: {column}"
            columns[plain if plain not in columns else f"{folder}: {column}"] = marks.values[:, k]
    about = {"slide_id": store.provenance.slide_id, "store": store.fingerprint, "feature_set": store.path.parent.name}
    return _Tiles(store.coords.astype(np.int64), store.provenance.span, store.valid, columns, about)


def _of_table(slide_id: str, path: Path) -> _Tiles:
    table = read_tiles(slide_id, path)
    numbers = {name: values for name, values in table.extra.items() if values.dtype.kind in "biuf"}
    columns: dict[str, npt.NDArray[Any]] = {"row": np.arange(len(table)), "tissue_share": table.tissue_share, **numbers}
    about = {"slide_id": slide_id, "tiles": table.fingerprint, "tiling": path.parent.name}
    return _Tiles(table.grid.origins, table.grid.span, np.ones(len(table), np.bool_), columns, about)


def _tiling(out: Outputs, wanted: str | None) -> str:
    every = sorted({path.parent.name for path in (out.root / "tiles").glob("*/*.parquet")})
    choices = [name for name in every if name.startswith(wanted or "")]
    if not choices:
        raise CurationError.nothing(str(out.root), "tiles")
    if len(choices) > 1 and wanted not in choices:
        raise OutputError.ambiguous(str(out.root), choices)
    return wanted if wanted in choices else choices[0]
