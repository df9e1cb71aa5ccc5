"""Pictures of the tiles that differ most, read from their slides where these are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.collections import Collection
from wsi_features.cohort.compare.summary import FarTile
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.config import Tuning
from wsi_features.errors import SlideError
from wsi_features.geometry import Region
from wsi_features.slides import Slide
from wsi_features.stages.opened import opened
from wsi_features.stages.staging import near

Rgb = npt.NDArray[np.uint8]

_PX = 160


def pictured(
    tiles: Sequence[FarTile], sides: Sequence[Collection], slide: Path | None
) -> tuple[dict[FarTile, Rgb], dict[str, str]]:
    """A picture (h, w, 3) of each tile that could be read, and for other slides why there is none."""
    found: dict[FarTile, Rgb] = {}
    why: dict[str, str] = {}
    for slide_id, of_slide in groupby(sorted(tiles, key=lambda tile: tile.slide_id), key=lambda tile: tile.slide_id):
        row = _row(slide_id, sides, slide)
        if row is None:
            why[slide_id] = "no manifest names its slide file; give it with --slide-file FILE"
            continue
        try:
            with near(row, Tuning()) as here, opened(here) as read:
                found |= {tile: picture for tile in of_slide if (picture := _picture(read, tile)) is not None}
        except SlideError as error:
            why[slide_id] = str(error)
    return found, why


def _row(slide_id: str, sides: Sequence[Collection], slide: Path | None) -> ManifestRow | None:
    """The file that was named, or what a run's manifest says of the slide."""
    if slide is not None:
        return ManifestRow(slide_id=slide_id, path=str(slide))
    known = (row for side in sides if side.manifest for row in side.manifest if row.slide_id == slide_id)
    return next(known, None)


def _picture(slide: Slide, tile: FarTile) -> Rgb | None:
    """The tile from the coarsest level that still has its pixels, as far as it lies on the slide."""
    import cv2

    span = tile.span or float(_PX)
    number = max(k for k, level in enumerate(slide.levels) if k == 0 or level.downsample * _PX <= span)
    level = slide.levels[number]
    side = max(1, round(span / level.downsample))
    region = Region(round(tile.x / level.downsample), round(tile.y / level.downsample), side, side)
    pixels = slide.read(region, number)
    if pixels.status == "unreadable" or not pixels.coverage:
        return None
    return np.asarray(cv2.resize(pixels.rgb, (_PX, _PX), interpolation=cv2.INTER_AREA), np.uint8)
