"""The stain report: the same tiles of a cohort embedded with and without normalization, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.errors import StainFitError
from wsi_features.files import write_json, write_text
from wsi_features.recipe import Json
from wsi_features.report.figures import fitted_thumbnail
from wsi_features.report.separation import separation, standardised
from wsi_features.report.stain_page import Comparison, StainedSlide, StainReport, render_stain_report, verdict
from wsi_features.stages.boundary import slide_boundary
from wsi_features.stages.embedding import Embedding
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.lineage import lineage_of
from wsi_features.stages.opened import opened_for
from wsi_features.stages.staging import near
from wsi_features.stages.stain import SlideStain, stain_of, stain_with
from wsi_features.stages.tiles import tiles_of, tiles_with
from wsi_features.stages.tissue import tissue_of
from wsi_features.stain import StainMatrix, load_target
from wsi_features.tiles import TileBatch, TileTable
from wsi_features.tiles.pixels import tile_pixels

Rgb = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_SHOWN, _SHOWN_PX = 5, 128


@dataclass(frozen=True, slots=True)
class StainReportRequest:
    """What is compared: so many slides, evenly taken from the manifest, and tiles drawn with `seed` in each.

    `groups` holds further groupings beside the slide, by name: slide_id to group.
    """

    slides: int = 24
    tiles: int = 32
    seed: int = 0
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    title: str = "Stain normalization: do I need it?"


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """One slide's sampled tiles: their features (n, d) before and after, and what the page shows."""

    slide_id: str
    stain: SlideStain
    before: Floats
    after: Floats
    tiles: Rgb
    normalised: Rgb


def stain_report(rows: Sequence[ManifestRow], config: Config, asked: StainReportRequest) -> Path:
    """Write OUT/stain-report.html and OUT/stain-report.json; the path of the page.

    Tissue, tiles and stain are found in OUT or made there; no store and no record is. A slide that fails
    is listed with its reason. Raises UsageError for what stops every slide.
    """
    out = Outputs(Path(config.out))
    wanted = [row for row in rows if not row.skip]
    taken = [wanted[i * len(wanted) // min(asked.slides, len(wanted))] for i in range(min(asked.slides, len(wanted)))]
    plan = encoder_plans(config)[0]
    failed: dict[str, str] = {}
    found: list[_Embedded] = []
    with (
        closing(Embedding(plan, config, out)) as embedding,
        Inspector(config.tuning.inspect_seconds, config.tuning.inspect_mib) as inspector,
    ):
        for row in taken:

            def fail(result: SlideResult, slide_id: str = row.slide_id) -> None:
                failed[slide_id] = result.message

            with slide_boundary(row.slide_id, "stain", fail):
                found.append(_embedded(row, embedding, inspector, asked))
    report = _report(found, failed, config, plan.card.name, asked)
    write_json(out.root / "stain-report.json", _numbers(report, found))
    write_text(out.root / "stain-report.html", render_stain_report(report))
    return out.root / "stain-report.html"


def _embedded(row: ManifestRow, embedding: Embedding, inspector: Inspector, asked: StainReportRequest) -> _Embedded:
    config, out, plan = embedding.config, embedding.out, embedding.plan
    tissue_of(row, config, out, inspector)
    tiles_of(row, config, (plan,), out)
    stain_of(row, config, out)
    lineage = lineage_of(row)
    table = tiles_with(row.slide_id, out, plan.tiling, lineage.tiles(config, plan.tiles))
    stain = stain_with(row.slide_id, out, config.stain.method, lineage.stain(config))
    plan.check_slide(row.slide_id, table.scale)
    pixels = _pixels(row, config, table, asked)
    count = len(pixels)
    batch = TileBatch(pixels, np.arange(count, dtype=np.int64), np.ones(count, np.bool_))
    before, after = (embedding.encoder.submit(batch, s).rows() for s in (None, stain.transform))
    shown = pixels[:_SHOWN]
    return _Embedded(row.slide_id, stain, before, after, _small(shown), _small(stain.transform.apply(shown)))


def _pixels(row: ManifestRow, config: Config, table: TileTable, asked: StainReportRequest) -> Rgb:
    """The tiles drawn of a slide, uint8 (n, size, size, 3). Raises StainFitError where there are fewer than two."""
    # The stream of a named bit generator is fixed for good, that of `default_rng` is not.
    order = np.argsort(np.random.Generator(np.random.PCG64(asked.seed)).random(len(table)), kind="stable")
    places = table.grid.origins[np.sort(order[: asked.tiles])]
    with near(row, config.tuning) as here, opened_for(here, config.read) as slide:
        read = [tile_pixels(slide, int(x), int(y), table.scale, config.read.interpolation) for x, y in places]
    good = [tile.rgb for tile in read if tile.status == "ok" and tile.coverage >= config.read.min_coverage]
    if len(good) < 2:
        raise StainFitError.too_few_tiles(row.slide_id, len(good), len(table))
    return np.stack(good)


def _small(tiles: Rgb) -> Rgb:
    return np.stack([fitted_thumbnail(tile, _SHOWN_PX) for tile in tiles])


def _report(
    found: Sequence[_Embedded], failed: Mapping[str, str], config: Config, encoder: str, asked: StainReportRequest
) -> StainReport:
    comparisons = _comparisons(found, asked) if found else ()
    grouping = next(iter(asked.groups.values()), {})
    target = load_target(config.stain.target)
    of_method = {"macenko": target.macenko, "vahadane": target.vahadane or target.macenko}.get(config.stain.method)
    return StainReport(
        title=asked.title,
        method=config.stain.method,
        target=config.stain.target,
        encoder=encoder,
        tiles=sum(len(slide.before) for slide in found),
        comparisons=comparisons,
        slides=tuple(_slide(slide, grouping.get(slide.slide_id, slide.slide_id)) for slide in found),
        left_out=tuple(failed.items()),
        target_stains=of_method.stains if of_method else None,
        verdict=verdict(comparisons),
    )


def _comparisons(found: Sequence[_Embedded], asked: StainReportRequest) -> tuple[Comparison, ...]:
    before, after = (standardised(np.concatenate([getattr(s, name) for s in found])) for name in ("before", "after"))
    counts = [len(slide.before) for slide in found]
    groupings = {**asked.groups, "slide": {slide.slide_id: slide.slide_id for slide in found}}
    compared = []
    for by, group_of in groupings.items():
        names = [group_of.get(slide.slide_id, "") for slide in found]
        known = np.repeat([bool(name) for name in names], counts)
        codes = np.repeat(np.unique(names, return_inverse=True)[1], counts)[known]
        compared.append(Comparison(by, separation(before[known], codes), separation(after[known], codes)))
    return tuple(compared)


def _slide(slide: _Embedded, group: str) -> StainedSlide:
    record, transform = slide.stain.record, slide.stain.transform
    numbers = ("pixels", "ink_pixels", "angle_degrees", "condition", "residual", "stretch", "scale")
    line = ", ".join(f"{name.replace('_', ' ')} {record[name]}" for name in numbers if name in record)
    return StainedSlide(
        slide_id=slide.slide_id,
        group=group,
        status=str(record.get("status", "none")),
        lines=(line,) if line else (),
        reason=str(record.get("reason", "")),
        stains=transform.source.stains if isinstance(transform, StainMatrix) else None,
        before=slide.tiles,
        after=slide.normalised,
    )


def _numbers(report: StainReport, found: Sequence[_Embedded]) -> Json:
    return {
        "verdict": report.verdict,
        "method": report.method,
        "target": report.target,
        "encoder": report.encoder,
        "tiles": report.tiles,
        "comparisons": [asdict(comparison) for comparison in report.comparisons],
        "slides": {
            slide.slide_id: {"transform": slide.stain.transform.parameters(), "fit": slide.stain.record}
            for slide in found
        },
        "left_out": dict(report.left_out),
    }
