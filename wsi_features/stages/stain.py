"""Stage stain: the stain transform of one slide, fitted on sampled tissue; numbers only, no pixels are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.errors import ArtifactError, StainKindError
from wsi_features.files import read_json, write_json
from wsi_features.recipe import Json
from wsi_features.slides import Slide
from wsi_features.stages.lineage import lineage_of
from wsi_features.stages.opened import opened_for
from wsi_features.stages.staging import near
from wsi_features.stages.tissue import read_tissue
from wsi_features.stain import (
    Identity,
    StainFit,
    StainRecipe,
    StainTransform,
    fitted,
    is_he,
    patch_origins,
    stained_pixels,
    transform_from_parameters,
    unfitted,
)
from wsi_features.tiles import tile_scale
from wsi_features.tiles.pixels import tile_pixels
from wsi_features.tissue import TissueMask


@dataclass(frozen=True, slots=True)
class SlideStain:
    """The stain transform of one slide, and the record of how it was fitted."""

    transform: StainTransform = field(default_factory=Identity)
    record: Json = field(default_factory=dict)


def stain_of(row: ManifestRow, config: Config, out: Outputs) -> SlideResult:
    """Fit the stain transform of one slide, or find that it is right already. Raises StainKindError, StainFitError."""
    recipe = config.stain
    lineage = lineage_of(row)
    wanted = lineage.stain(config)
    if recipe.method != "none" and recipe.non_he == "refuse" and not is_he(row.stain):
        raise StainKindError.not_he(row.slide_id, recipe.method, row.stain)
    try:
        record = stain_with(row.slide_id, out, recipe.method, wanted).record
    except ArtifactError:
        mask, about = read_tissue(row.slide_id, out, lineage.tissue(config))
        found = _fitted(row, config, mask, about)
        record = found.record
        document = {"fingerprint": wanted, "slide_id": row.slide_id, "transform": found.transform.parameters()}
        write_json(out.stain(recipe.method, row.slide_id), document | {"fit": record})
    facts = {"stain": recipe.method} | ({"stain_fit": record} if recipe.method != "none" else {})
    return SlideResult("ok", "stain", fingerprint=wanted, message=str(record.get("reason", "")), facts=facts)


def stain_with(slide_id: str, out: Outputs, method: str, wanted: str) -> SlideStain:
    """The stain transform of a slide, with the fingerprint `wanted`. Raises ArtifactError."""
    path = out.stain(method, slide_id)
    if not path.is_file():
        raise ArtifactError.absent(slide_id, "stain parameters", str(path))
    try:
        document = read_json(path)
        found = str(document["fingerprint"])
        if found != wanted:
            raise ArtifactError.mismatch(slide_id, "stain parameters", str(path), found, wanted)
        return SlideStain(transform_from_parameters(document["transform"]), dict(document.get("fit", {})))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError.damaged(slide_id, "stain parameters", str(path), str(error)) from error


def _fitted(row: ManifestRow, config: Config, mask: TissueMask, about: dict[str, Any]) -> StainFit:
    """A slide without tissue has nothing to normalise."""
    recipe = config.stain
    if recipe.method == "none":
        return StainFit(Identity())
    if recipe.non_he == "raw" and not is_he(row.stain):
        return unfitted(f"slide {row.slide_id!r} is stained {row.stain!r}, which {recipe.method} is not made for")
    if mask.is_empty:
        return unfitted(f"slide {row.slide_id!r} has no tissue")
    sample = stained_sample(row, config, mask, about)
    return fitted(row.slide_id, stained_pixels(sample, recipe.max_pixels, recipe.luminosity), recipe)


def stained_sample(row: ManifestRow, config: Config, mask: TissueMask, about: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """The patches that a slide is fitted on, uint8 (m, h, w, 3)."""
    with near(row, config.tuning) as here, opened_for(here, config.read) as slide:
        return _patches(row.slide_id, slide, config.stain, mask, about)


def _patches(
    slide_id: str, slide: Slide, recipe: StainRecipe, mask: TissueMask, about: dict[str, Any]
) -> npt.NDArray[np.uint8]:
    """Patches spread over the tissue, uint8 (m, h, w, 3); what was never scanned or cannot be decoded is left out."""
    native, downsamples = about["mpp"]["value"], tuple(level["downsample"] for level in about["levels"])
    asked = max(recipe.sample_mpp, native)
    scale = tile_scale(slide_id, downsamples, native=native, asked=asked, size=recipe.patch_px)
    origins = patch_origins(
        mask.mask, scale=(mask.scale_x, mask.scale_y), slide=slide.levels[0].size, span=scale.span, recipe=recipe
    )
    read = [tile_pixels(slide, int(x), int(y), scale) for x, y in origins]
    good = [pixels.rgb for pixels in read if pixels.status == "ok" and pixels.coverage == 1]
    return np.stack(good) if good else np.empty((0, scale.size, scale.size, 3), np.uint8)
