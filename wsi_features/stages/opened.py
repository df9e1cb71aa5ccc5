"""The slide of a manifest row, open."""

from __future__ import annotations

from pathlib import Path

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.slides import Slide, open_slide
from wsi_features.slides.colour import srgb
from wsi_features.tiles import ReadRecipe


def opened(row: ManifestRow) -> Slide:
    """Open the file, scene and plane that the row chooses, with colours as stored. Raises SlideFileError."""
    return open_slide(row.slide_id, Path(row.path), row.scene, row.plane)


def opened_for(row: ManifestRow, recipe: ReadRecipe) -> Slide:
    """The same with the colours that `recipe` asks for. Raises SlideFileError also for a profile that is damaged."""
    slide = opened(row)
    return srgb(row.slide_id, slide) if recipe.colour == "srgb" else slide
