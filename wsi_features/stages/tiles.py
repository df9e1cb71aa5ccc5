"""Stage tiles: the grids of one slide, one for each distinct tiling, restricted to tissue."""

from __future__ import annotations

from dataclasses import replace

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, Status
from wsi_features.config import Config
from wsi_features.errors import ArtifactError
from wsi_features.files import replacing
from wsi_features.stages.encoders import EncoderPlan, tilings
from wsi_features.stages.lineage import Lineage, lineage_of
from wsi_features.stages.segmenters import artefact_shares
from wsi_features.stages.selection import tissue_tiles
from wsi_features.stages.tissue import read_tissue
from wsi_features.tiles import (
    TileRecipe,
    TileTable,
    read_tiles,
    write_tiles,
)


def tiles_of(row: ManifestRow, config: Config, plans: tuple[EncoderPlan, ...], out: Outputs) -> SlideResult:
    """Make the tile tables of one slide, or find that they are right already."""
    lineage = lineage_of(row)
    counts = {}
    for tiling, recipe in tilings(plans).items():
        try:
            table = tiles_with(row.slide_id, out, tiling, lineage.tiles(config, recipe))
        except ArtifactError:
            table = _make(lineage, config, recipe, out, tiling)
        counts[tiling] = len(table)
    status: Status = "ok" if any(counts.values()) else "empty"
    fingerprint = lineage.tiles(config, plans[0].tiles)
    return SlideResult(status, "tiles", fingerprint=fingerprint, facts={"tiles": counts})


def tiles_with(slide_id: str, out: Outputs, tiling: str, wanted: str) -> TileTable:
    """The tile table of a slide, with the fingerprint `wanted`. Raises ArtifactError."""
    path = out.tiles(tiling, slide_id)
    table = read_tiles(slide_id, path)
    if table.fingerprint != wanted:
        raise ArtifactError.mismatch(slide_id, "tile table", str(path), table.fingerprint, wanted)
    return table


def _make(lineage: Lineage, config: Config, recipe: TileRecipe, out: Outputs, tiling: str) -> TileTable:
    mask, about = read_tissue(lineage.slide_id, out, lineage.tissue(config))
    table = tissue_tiles(about, mask, recipe, lineage.tiles(config, recipe))
    table = replace(table, extra={**table.extra, **artefact_shares(lineage.slide_id, out, about, table)})
    with replacing(out.tiles(tiling, lineage.slide_id)) as path:
        write_tiles(path, table)
    return table
