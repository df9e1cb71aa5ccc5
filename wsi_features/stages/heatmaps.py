"""Scores back onto the slides: pictures, objects for QuPath and OME-TIFF heat maps, each slide's complete or absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.manifest import ManifestRow, rows_named
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Tuning
from wsi_features.errors import HeatMapError, some_of
from wsi_features.files import replacing, write_bytes, write_lines
from wsi_features.report.heat_colours import DIVERGING, RAMPS, SEQUENTIAL, ramp
from wsi_features.report.heat_scale import Scaling, Spread, colour_ends, is_signed, scaled, spread_of
from wsi_features.stages.boundary import Told, guarded
from wsi_features.stages.heat_files import (
    ScoredSlide,
    downsample_of,
    geojson_lines,
    picture,
    write_colour_tiff,
    write_value_tiff,
)
from wsi_features.stages.heat_ground import ground_of, ground_picture
from wsi_features.stages.result_folder import made_folder, refuse_place, writing_to
from wsi_features.stages.tile_scores import ScoreSource, score_source, scores_of_cohort
from wsi_features.store import FeatureStore
from wsi_features.tissue.tile_objects import ObjectType

Target = Literal["png", "geojson", "ome-tiff"]

Said = tuple[str, str]
"""What was made of a slide, and a note on it or nothing."""


@dataclass(frozen=True, slots=True)
class HeatMapRequest:
    """What `wsi-features heatmap` is asked for; `slides` are all where none is named.

    Scores come from the table `scores`, the `marks` of that name, or else the stores' own `column`. They are compared
    with the slide's or the cohort's (`over`). `ends` are the first and last colour's value on the scale. `downsample` or
    `mpp` are of the OME-TIFF; `thresholds` or `quantiles` make classes of the GeoJSON.
    """

    to: tuple[Target, ...]
    folder: Path
    scores: Path | None = None
    marks: str | None = None
    column: str | None = None
    slides: tuple[str, ...] = ()
    feature_set: str | None = None
    scaling: Scaling = "rank"
    over: Literal["slide", "cohort"] = "slide"
    ends: tuple[float, float] | None = None
    colours: str | None = None
    opacity: float = 0.5
    downsample: int | None = None
    mpp: float | None = None
    values: bool = False
    thresholds: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    kind: ObjectType = "detection"
    with_columns: bool = False
    tuning: Tuning = field(default_factory=Tuning)


def heat_maps(out: Path, asked: HeatMapRequest) -> Iterator[Told]:
    """Make the files of slide after slide. Raises UsageError before anything starts, and where no slide has scores."""
    _check(asked)
    refuse_place(asked.folder, out)
    cohort = Cohort.open(out, asked.feature_set)
    rows = rows_named(cohort.manifest, asked.slides, out)
    _refuse_same_files(asked, [row.slide_id for row in rows])
    source = score_source(cohort, asked.scores, asked.marks, asked.column)
    made_folder(asked.folder)
    spread = spread_of(scores_of_cohort(cohort, source), len(cohort)) if asked.over == "cohort" else None
    useful = False
    for row in rows:
        if not cohort.has(row.slide_id):
            yield Told(f"{row.slide_id}: has no features, see status.tsv")
            continue
        result = guarded(row.slide_id, "heatmap", partial(_one, cohort, source, asked, spread, row))
        useful |= result.status != "skipped"
        yield Told(result.message, result.status == "failed")
        yield from (Told(f"note: {note}") for note in result.facts.get("notes", ()))
    if not useful:
        raise HeatMapError.nothing(str(out), source.where, [row.slide_id for row in cohort.manifest])
    if source.strangers:
        yield Told(f"note: not in the cohort, but scored: {some_of(source.strangers)}")


def _check(asked: HeatMapRequest) -> None:
    tiff = {"--downsample": asked.downsample, "--mpp": asked.mpp, "--values": asked.values}
    objects = {"--threshold": asked.thresholds, "--quantile": asked.quantiles, "--with-columns": asked.with_columns}
    for target, options in (("ome-tiff", tiff), ("geojson", objects)):
        for option in (option for option, given in options.items() if given and target not in asked.to):
            raise HeatMapError.needs(option, target)
    _check_values(asked)


def _check_values(asked: HeatMapRequest) -> None:
    if asked.downsample and asked.mpp:
        raise HeatMapError.two_of("--downsample", "--mpp")
    if asked.thresholds and asked.quantiles:
        raise HeatMapError.two_of("--threshold", "--quantile")
    if not all(map(math.isfinite, asked.thresholds)):
        raise HeatMapError.value("--threshold", list(asked.thresholds), "scores")
    if any(not 0 < share < 1 for share in asked.quantiles):
        raise HeatMapError.value("--quantile", list(asked.quantiles), "shares between 0 and 1, as 0.9")
    if asked.colours and asked.colours not in RAMPS:
        raise HeatMapError.value("--colours", asked.colours, f"one of {', '.join(RAMPS)}")
    if asked.ends and not asked.ends[0] < asked.ends[1]:
        raise HeatMapError.value("--range", list(asked.ends), "a lower and a higher value")


def _refuse_same_files(asked: HeatMapRequest, slides: Sequence[str]) -> None:
    files = {_tiff_name(slide_id): slide_id for slide_id in slides}
    for slide_id in slides if asked.values else ():
        if (file := _values_name(slide_id)) in files:
            raise HeatMapError.same_file(slide_id, files[file], file)


def _one(
    cohort: Cohort, source: ScoreSource, asked: HeatMapRequest, spread: Spread | None, row: ManifestRow
) -> SlideResult:
    """The files of one slide. Raises SlideError."""
    store = cohort.store(row.slide_id)
    raw = source.of(store)
    if raw is None or not np.isfinite(raw).any():
        why = "no tiles" if not len(store) else "no scores" if raw is None else f"no tile has a score `{source.column}`"
        return SlideResult("skipped", "heatmap", message=f"{row.slide_id}: {why}, left out")
    slide = _scored(cohort, store, source, asked, raw, spread)
    made, notes = [], [slide.ground.note]
    for kind in dict.fromkeys(asked.to):
        with writing_to(asked.folder):
            said, note = _WRITERS[kind](cohort, slide, asked, row)
        made.append(said)
        notes.append(note)
    message = f"{row.slide_id}: {np.count_nonzero(np.isfinite(raw))} of {len(store)} tiles; {', '.join(made)}"
    return SlideResult("ok", "heatmap", message=message, facts={"notes": [note for note in notes if note]})


def _scored(
    cohort: Cohort,
    store: FeatureStore,
    source: ScoreSource,
    asked: HeatMapRequest,
    raw: npt.NDArray[np.float32],
    spread: Spread | None,
) -> ScoredSlide:
    known = spread or spread_of([raw])
    low, high = colour_ends(asked.scaling, known, asked.ends)
    name = asked.colours or (DIVERGING if is_signed(asked.scaling, known) else SEQUENTIAL)
    scores = scaled(raw, asked.scaling, known)
    ground = ground_of(cohort.out, store)
    colours = ramp(name, low, high)
    return ScoredSlide(store, ground, source.column, raw, scores, known, asked.scaling, asked.over, colours)


def _write_picture(cohort: Cohort, slide: ScoredSlide, asked: HeatMapRequest, row: ManifestRow) -> Said:
    ground = ground_picture(cohort.out, row, slide.store, slide.ground, asked.tuning)
    write_bytes(asked.folder / f"{slide.slide_id}.png", picture(slide, ground, asked.opacity))
    return "png", ground.note


def _write_geojson(_: Cohort, slide: ScoredSlide, asked: HeatMapRequest, _row: ManifestRow) -> Said:
    cuts, shares = sorted(set(asked.thresholds or asked.quantiles)), bool(asked.quantiles)
    lines = geojson_lines(slide, cuts, asked.kind, shares=shares, columns=asked.with_columns)
    write_lines(asked.folder / f"{slide.slide_id}.geojson", lines)
    return "geojson", ""


def _tiff_name(slide_id: str) -> str:
    return f"{slide_id}.ome.tiff"


def _values_name(slide_id: str) -> str:
    return _tiff_name(f"{slide_id}.values")


def _write_tiff(_: Cohort, slide: ScoredSlide, asked: HeatMapRequest, _row: ManifestRow) -> Said:
    downsample = downsample_of(slide, asked.downsample, asked.mpp)
    with replacing(asked.folder / _tiff_name(slide.slide_id)) as path:
        write_colour_tiff(path, slide, downsample)
    if asked.values:
        with replacing(asked.folder / _values_name(slide.slide_id)) as path:
            write_value_tiff(path, slide, downsample)
    note = "" if slide.ground.mpp else f"slide {slide.slide_id!r}: its resolution is unknown, so its OME-TIFF has none"
    return f"ome-tiff of {downsample} level-0 px a pixel", note


_WRITERS: dict[Target, Callable[[Cohort, ScoredSlide, HeatMapRequest, ManifestRow], Said]] = {
    "png": _write_picture,
    "geojson": _write_geojson,
    "ome-tiff": _write_tiff,
}
