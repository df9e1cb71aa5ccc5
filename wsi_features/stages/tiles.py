"""Stage tiles: the grids of one slide, one for each distinct tiling, restricted to tissue."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, Status
from wsi_features.config import Config
from wsi_features.errors import ArtifactError
from wsi_features.files import read_json, replacing
from wsi_features.stages.encoders import EncoderPlan, tiling_name, tilings
from wsi_features.stages.lineage import Lineage, lineage_of
from wsi_features.stages.restriction import emptiness, restricted
from wsi_features.stages.segmenters import artefact_shares
from wsi_features.stages.selection import tissue_tiles
from wsi_features.stages.tile_sources import downsamples
from wsi_features.stages.tissue import read_tissue
from wsi_features.tiles import (
    TileRecipe,
    TileTable,
    read_tiles,
    write_tiles,
)
from wsi_features.tiles.sources import read_list


def tiles_of(row: ManifestRow, config: Config, plans: tuple[EncoderPlan, ...], out: Outputs) -> SlideResult:
    """Make the tile tables of one slide, or find that they are right already."""
    lineage = lineage_of(row)
    counts: dict[str, int] = {}
    dropped: dict[str, dict[str, int]] = {}
    for tiling, recipe in tilings(plans).items():
        try:
            table = tiles_with(row.slide_id, out, tiling, lineage.tiles(config, recipe))
        except ArtifactError:
            table = _make(row, lineage, config, recipe, out)
        counts[tiling] = len(table)
        dropped |= {tiling: dict(table.dropped)} if table.dropped else {}
    status: Status = "ok" if any(counts.values()) else "empty"
    fingerprint = lineage.tiles(config, plans[0].tiles)
    reason, message = _why_empty(row, lineage, plans[0].tiles, out) if status == "empty" else ("", "")
    facts: dict[str, Any] = {"tiles": counts} | ({"dropped": dropped} if dropped else {})
    return SlideResult(status, "tiles", fingerprint, reason, message, facts=facts)


def tiles_with(slide_id: str, out: Outputs, tiling: str, wanted: str) -> TileTable:
    """The tile table of a slide, with the fingerprint `wanted`. Raises ArtifactError."""
    path = out.tiles(tiling, slide_id)
    table = read_tiles(slide_id, path)
    if table.fingerprint != wanted:
        raise ArtifactError.mismatch(slide_id, "tile table", str(path), table.fingerprint, wanted)
    return table


def _why_empty(row: ManifestRow, lineage: Lineage, recipe: TileRecipe, out: Outputs) -> tuple[str, str]:
    area: float = read_json(out.slide(row.slide_id, "preflight.json"))["tissue_mm2"]
    return emptiness(row, lineage.drawn, recipe, area)


def _make(row: ManifestRow, lineage: Lineage, config: Config, recipe: TileRecipe, out: Outputs) -> TileTable:
    mask, about = read_tissue(row.slide_id, out, lineage.tissue(config))
    listed = read_list(row.slide_id, Path(row.coordinates), downsamples(about)) if row.coordinates else None
    left = partial(restricted, row, lineage.drawn, recipe=recipe)
    table = tissue_tiles(about, mask, recipe, lineage.tiles(config, recipe), listed, left)
    table = replace(table, extra={**table.extra, **artefact_shares(row.slide_id, out, about, table)})
    with replacing(out.tiles(tiling_name(recipe), row.slide_id)) as path:
        write_tiles(path, table)
    return table
