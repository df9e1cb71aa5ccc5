"""Tiles that are left out of a store: a first reading of a slide measures, and the thresholds of the recipe decide.

Only where the recipe says `drop`: otherwise every tile is embedded, and thresholds make marks.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial
from typing import cast

import numpy as np

from wsi_features.cohort.keep import kept_columns
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.config import Config
from wsi_features.stages.embedding import cores
from wsi_features.stages.opened import opened_for
from wsi_features.stages.staging import near
from wsi_features.tiles import TileTable
from wsi_features.tiles.quality import COLUMNS, measured_columns, tile_optics
from wsi_features.tiles.source import TileSource
from wsi_features.tiles.stream import SourceBatch, SourceFault, Streamed, tile_stream


def kept_tiles(row: ManifestRow, table: TileTable, config: Config) -> TileTable:
    """The tiles of a slide that the thresholds keep, and those that cannot be read, which the embed stage tells of.

    An error of the slide's reader reaches the caller.
    """
    measures = len(COLUMNS) if config.quality.measure else 0
    measured = np.full((len(table), measures), np.nan, np.float32)
    valid = np.ones(len(table), np.bool_)
    if measures:
        optics = tile_optics(table.scale)
        with near(row, config.tuning) as here:
            source = TileSource(
                row.slide_id,
                partial(opened_for, here, config.read),
                table.grid,
                table.scale,
                config.read,
                measure=partial(measured_columns, optics=optics),
                measures=measures,
            )
            _measure(source, config, measured, valid)
    columns = {"tissue_share": table.tissue_share} | {name: measured[:, k] for k, name in enumerate(COLUMNS[:measures])}
    names, marks = kept_columns(columns, np.ones_like(valid), config.quality.thresholds_json())
    kept = (marks[:, names.index("keep")] == 1) | ~valid
    return table.keep(kept)


def _measure(
    source: TileSource,
    config: Config,
    measured: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    valid: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> None:
    """Fill `measured` (n, c) and `valid` (n,) by reading the slide once."""
    tuning = config.tuning
    stream = tile_stream([source], batch=tuning.batch, workers=cores(tuning.workers))
    with closing(cast("Generator[Streamed]", stream)):
        for item in stream:
            if isinstance(item, SourceFault):
                raise item.error
            if isinstance(item, SourceBatch):
                measured[item.tiles.rows], valid[item.tiles.rows] = item.tiles.columns, item.tiles.valid
