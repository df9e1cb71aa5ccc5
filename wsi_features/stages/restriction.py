"""Which tiles a recipe leaves of those that hold tissue: by annotated classes, and by their number."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import AnnotationError
from wsi_features.stages.annotated import Drawn, areas_on
from wsi_features.tiles import TileRecipe, TileTable
from wsi_features.tiles.curation import spread_rows
from wsi_features.tissue.objects import Polygon
from wsi_features.tissue.shares import annotation_shares, joined_shares

COLUMN = "annotation:"
"""What the names of shares of annotated classes begin with."""

_log = logging.getLogger("wsi_features")


def restricted(row: ManifestRow, drawn: Drawn, table: TileTable, recipe: TileRecipe) -> TileTable:
    """The table without the tiles that `recipe` leaves out; it gets the share of each class that decides.

    Raises AnnotationError where a class is absent and the recipe does not accept that.
    """
    if recipe.named_classes:
        _tell_absent(row, drawn, recipe)
        table = _by_class(table, recipe, areas_on(row, table.slide_size))
    if recipe.max_tiles is not None and len(table) > recipe.max_tiles:
        rows = spread_rows(table.grid.index, recipe.max_tiles, recipe.max_tiles_seed)
        table = table.keep(np.isin(np.arange(len(table)), rows))
    return table


def emptiness(row: ManifestRow, drawn: Drawn, recipe: TileRecipe, tissue_mm2: float) -> tuple[str, str]:
    """Reason code and message of a slide without tiles; empty texts where its annotations are not to blame."""
    if not recipe.named_classes or not tissue_mm2:
        return "", ""
    wanted, found = ", ".join(map(repr, recipe.include)), ", ".join(map(repr, drawn.classes)) or "none"
    if recipe.include and len(drawn.absent(recipe.include)) == len(recipe.include):
        where = f"annotations {drawn.path!r} have" if drawn.path else "the manifest names no annotations, so there is"
        why = f"{where} no object of class {wanted} (found: {found}), and no tile is included"
        return "not_annotated", f"slide {row.slide_id!r}: {why}."
    limits = [f"at least {recipe.min_include:g} of {wanted}"] if recipe.include else []
    limits += [f"at most {recipe.max_exclude:g} of {', '.join(map(repr, recipe.exclude))}"] if recipe.exclude else []
    return "none_included", f"slide {row.slide_id!r}: no tile with enough tissue has {' and '.join(limits)}."


def _by_class(table: TileTable, recipe: TileRecipe, areas: Mapping[str, Polygon]) -> TileTable:
    origins, span = table.grid.origins, table.grid.span
    used = {name: areas[name] for name in recipe.named_classes if name in areas}
    names, shares = annotation_shares(used, origins, span)
    columns = {name: np.zeros(len(table), np.float32) for name in recipe.named_classes}
    columns |= {name: np.ascontiguousarray(shares[:, k]) for k, name in enumerate(names)}
    wanted = np.ones(len(table), np.bool_)
    if recipe.include:
        wanted &= joined_shares(areas, recipe.include, origins, span) >= np.float32(recipe.min_include)
    if recipe.exclude:
        wanted &= joined_shares(areas, recipe.exclude, origins, span) <= np.float32(recipe.max_exclude)
    extra = dict(table.extra) | {COLUMN + name: values for name, values in columns.items()}
    return replace(table, extra=extra).keep(wanted)


def _tell_absent(row: ManifestRow, drawn: Drawn, recipe: TileRecipe) -> None:
    absent = drawn.absent(recipe.named_classes)
    if absent and recipe.absent_class == "fail":
        raise AnnotationError.absent_class(row.slide_id, drawn.path, absent, sorted(drawn.classes))
    if absent and drawn.path:
        found = ", ".join(drawn.classes) or "none"
        _log.warning(
            "slide %s: no object of class %s in its annotations (found: %s)", row.slide_id, ", ".join(absent), found
        )
