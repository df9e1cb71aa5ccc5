"""What a slide will cost: its tiles, and the time that reading them takes."""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

from wsi_features.errors import CoordinatesError, ResolutionError
from wsi_features.geometry import Region, Size
from wsi_features.slides import Slide, thumbnail
from wsi_features.stages.selection import tissue_tiles
from wsi_features.stages.tile_sources import downsamples
from wsi_features.tiles import TileRecipe
from wsi_features.tiles.sources import read_list
from wsi_features.tissue import TissueMask, TissueRecipe, found_tissue, mask_from_png, mask_mpp, png_bytes

_SAMPLES, _SAMPLE_PX = 6, 512
_MOST_PIXELS = 100_000_000


def survey(slide_id: str, slide: Slide, native: float) -> dict[str, Any] | None:
    """The tissue mask of the default recipe, as PNG in base 64, and the seconds that reading a million pixels takes.

    None for a slide without small levels, whose thumbnail would take longer than the answer is worth.
    """
    recipe = TissueRecipe()
    if min(level.size.area for level in slide.levels) > _MOST_PIXELS:
        return None
    small = thumbnail(slide_id, slide, native, recipe.mpp)
    covered, whole = Size(small.shape[1], small.shape[0]), slide.levels[0].size
    mask = TissueMask(found_tissue(slide_id, small, mask_mpp(whole, covered, native), recipe), whole)
    return {"tissue": b64encode(png_bytes(mask)).decode(), "read_seconds_per_mpx": _read_seconds(slide)}


def estimated(about: dict[str, Any], tiles: TileRecipe, coordinates: str = "") -> dict[str, Any]:
    """The description of a surveyed slide with its `estimate`; a slide too coarse for `tiles` becomes a failed one.

    So does one whose list of tiles, the file `coordinates`, cannot be used.

    `tiles` is resolved, without `auto`. The estimate is None for a slide that failed or was not surveyed.
    """
    found = {name: value for name, value in about.items() if name != "survey"}
    if not about.get("survey"):
        return found | {"estimate": None}
    try:
        return found | {"estimate": _estimate(about, tiles, coordinates)}
    except (ResolutionError, CoordinatesError) as error:
        return found | {"status": "failed", "reason": error.reason, "remedy": str(error), "estimate": None}


def _estimate(about: dict[str, Any], tiles: TileRecipe, coordinates: str) -> dict[str, Any]:
    """Tiles, and the seconds that reading them takes on one core."""
    surveyed, size = about["survey"], Size(about["levels"][0]["width"], about["levels"][0]["height"])
    mask = mask_from_png(b64decode(surveyed["tissue"]), slide_id=about["slide_id"], source="survey", slide=size)
    listed = read_list(about["slide_id"], Path(coordinates), downsamples(about)) if coordinates else None
    table = tissue_tiles(about, mask, tiles, listed=listed)
    count = len(table) if tiles.max_tiles is None else min(len(table), tiles.max_tiles)
    pixels = count * (table.scale.span / table.scale.downsample) ** 2
    return {
        "tiles": count,
        "tile_px": tiles.size,
        "tile_mpp": round(float(table.scale.effective), 6),
        "read_seconds": round(pixels / 1e6 * surveyed["read_seconds_per_mpx"], 1),
    }


def _read_seconds(slide: Slide) -> float:
    """Seconds a megapixel of level 0 takes, over a few places along the diagonal."""
    whole = slide.levels[0].size
    width, height = min(_SAMPLE_PX, whole.width), min(_SAMPLE_PX, whole.height)
    started = time.perf_counter()
    for i in range(_SAMPLES):
        x, y = ((whole.width - width) * i // _SAMPLES, (whole.height - height) * i // _SAMPLES)
        slide.read(Region(x, y, width, height), 0)
    return (time.perf_counter() - started) / (_SAMPLES * width * height / 1e6)
