"""The cohort report: statuses, figures and recipes of an output folder, as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from wsi_features.cohort.keep import Recorded, last_run
from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.speed import cohort_speed
from wsi_features.cohort.status import StatusRow, statuses
from wsi_features.config import ReportOptions
from wsi_features.errors import ArtifactError, StoreError
from wsi_features.files import write_text
from wsi_features.geometry import SlidePx
from wsi_features.recipe import canonical_json
from wsi_features.report import CohortReport, FeatureMap, QualityMap, SlideFigure, SlideRow, render
from wsi_features.report.components import ComponentAxes, fit_components, sample_rows, usable_rows
from wsi_features.report.figures import component_map, decoded, fitted_thumbnail
from wsi_features.report.model import Status
from wsi_features.stages.preflight.recorded import recorded_size
from wsi_features.stages.report_quality import Limits, quality_limits, quality_map
from wsi_features.stages.report_scores import PromptScores, prompt_scores, score_map
from wsi_features.store import FeatureStore
from wsi_features.tissue import TissueMask, mask_from_png


def write_report(out: Outputs, options: ReportOptions) -> Path:
    """Write OUT/report.html and return its path. Raises OutputError when OUT was not written by a run."""
    report = cohort_report(out, options)
    write_text(out.report, render(report))
    return out.report


def cohort_report(out: Outputs, options: ReportOptions) -> CohortReport:
    """What the report of OUT shows. Raises OutputError when OUT was not written by a run."""
    manifest, slides_per_shard = manifest_of_output(out.root)
    rows = statuses(manifest, slides_per_shard, out)
    shown = [row for row in rows if row.stores][: options.figures]
    stores = {row.slide_id: _stores(out, row) for row in shown}
    axes = _axes(list(stores.values()))
    scores, limits, last = prompt_scores(out, stores), quality_limits(stores), last_run(out)
    return CohortReport(
        title=options.title,
        rows=tuple(_row(row) for row in rows),
        figures=tuple(
            replace(figure, quality=_quality(out, figure, stores[row.slide_id], last, limits))
            for row in shown
            if (figure := _figure(out, row, stores[row.slide_id], axes, scores[row.slide_id]))
        ),
        recipe=_recipe(stores),
        versions=_versions(stores),
        speed=cohort_speed(out, manifest.shards(slides_per_shard)).lines(),
    )


Stores = dict[str, FeatureStore]


def _stores(out: Outputs, row: StatusRow) -> Stores:
    """The slide's readable stores by feature set; `check` is where unreadable ones are told."""
    found = {}
    for store in row.stores.split(";"):
        try:
            found[Path(store).parent.name] = FeatureStore.open(out.root / store)
        except StoreError:
            continue
    return found


def _axes(slides: Sequence[Stores]) -> dict[str, ComponentAxes]:
    """Principal components of each feature set, fitted once for the cohort: a colour means one thing everywhere."""
    axes = {}
    for name in sorted({name for stores in slides for name in stores}):
        stores = [found[name] for found in slides if name in found]
        samples = []
        for store, pick in zip(stores, sample_rows([len(store) for store in stores]), strict=True):
            rows = store.features[:][pick]
            samples.append(rows[usable_rows(rows)])
        axes[name] = fit_components(samples)
    return axes


def _figure(
    out: Outputs, row: StatusRow, stores: Stores, axes: dict[str, ComponentAxes], scores: Sequence[PromptScores]
) -> SlideFigure | None:
    """The slide's pictures; None when its tissue files are gone."""
    try:
        thumbnail = fitted_thumbnail(decoded(out.slide(row.slide_id, "thumbnail.jpg").read_bytes()))
        tissue = _tissue(out, row.slide_id)
    except (OSError, ValueError, KeyError, ArtifactError):
        return None
    if not stores:
        return None
    first = next(iter(stores.values()))
    maps = []
    for name, store in stores.items():
        features = store.features[:]
        usable = usable_rows(features, store.valid)
        colours = axes[name].colours(features, usable)
        span = SlidePx(store.provenance.span)
        image = component_map(thumbnail, store.coords.astype(np.int64), span, tissue.slide, colours, usable)
        missing = int((~usable).sum())
        maps.append(FeatureMap(store.provenance.encoder_name, image, axes[name].explained, len(store), missing))
    return SlideFigure(
        slide_id=row.slide_id,
        thumbnail=thumbnail,
        mask=tissue.mask,
        origins=first.coords.astype(np.int64),
        span=SlidePx(first.provenance.span),
        size=tissue.slide,
        lines=_lines(row, first),
        maps=tuple(maps),
        scores=tuple(score_map(found, thumbnail, tissue.slide) for found in scores),
    )


def _quality(out: Outputs, figure: SlideFigure, stores: Stores, last: Recorded, limits: Limits) -> QualityMap | None:
    return quality_map(out, next(iter(stores.values())), last, figure.thumbnail, figure.size, limits)


def _tissue(out: Outputs, slide_id: str) -> TissueMask:
    png = out.slide(slide_id, "tissue.png")
    return mask_from_png(png.read_bytes(), slide_id=slide_id, source=str(png), slide=recorded_size(out, slide_id))


def _lines(row: StatusRow, store: FeatureStore) -> tuple[str, ...]:
    about = store.provenance
    width, height = about.slide_size
    return (
        f"{width} x {height} px at {about.mpp_native:g} um/px ({about.mpp_source}), read by {row.reader}",
        f"{len(store)} tiles of {about.tile_px} px at {about.mpp_effective:.4g} um/px",
        f"each {about.span} level-0 px wide, read from level {about.level}",
    )


def _row(row: StatusRow) -> SlideRow:
    return SlideRow(
        slide_id=row.slide_id,
        status=cast("Status", row.status),
        reason=row.reason,
        stage=row.stage,
        message=row.message,
        tiles=row.tiles,
        tissue_mm2=row.tissue_mm2,
        mpp=row.mpp,
        mpp_source=row.mpp_source,
        reader=row.reader,
        encoders=", ".join(Path(store).parts[1].split("__")[0] for store in row.stores.split(";") if store),
        seconds=row.seconds,
        kept=row.kept,
    )


def _recipe(stores: dict[str, Stores]) -> tuple[tuple[str, str], ...]:
    """The recipes as the stores record them: what was done, whatever the config says today."""
    found = {name: store.provenance.recipes for slide in stores.values() for name, store in slide.items()}
    return tuple(
        (f"{name}: {stage}" if len(found) > 1 else stage, canonical_json(recipe))
        for name, recipes in sorted(found.items())
        for stage, recipe in recipes.items()
    )


def _versions(stores: dict[str, Stores]) -> tuple[tuple[str, str], ...]:
    found = {
        pair for slide in stores.values() for store in slide.values() for pair in store.provenance.versions.items()
    }
    return tuple(sorted(found))
