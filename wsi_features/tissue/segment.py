"""Which method finds tissue: those that a recipe can name, and the one that it names.

When to use which: `otsu`, the default, takes stained tissue of any stain and fluorescence. `hsv` has one threshold
for all slides, so two scans of one slide give one mask where Otsu's may move. `entropy` finds what has texture but
hardly any colour or darkness. The two of tiatoolbox are for comparison with pipelines built on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from wsi_features.errors import SegmentationError
from wsi_features.tissue import classical, toolbox
from wsi_features.tissue.background import Image, Mask, is_dark_field, is_featureless
from wsi_features.tissue.protocol import Segmenter
from wsi_features.tissue.recipe import TissueRecipe


@dataclass(frozen=True, slots=True)
class _Entry:
    """One method. What needs more than a thumbnail (a model, level 0) is no `Segmenter` and gets a table of its own."""

    made: Callable[[TissueRecipe], Segmenter]
    dark_field: bool = True


__all__ = ["METHODS", "Segmenter", "found_tissue", "segmenter"]

METHODS: dict[str, _Entry] = {
    "otsu": _Entry(partial(classical.thumbnail_segmenter, classical.by_otsu)),
    "hsv": _Entry(partial(classical.thumbnail_segmenter, classical.by_hsv)),
    "entropy": _Entry(partial(classical.thumbnail_segmenter, classical.by_entropy)),
    "tiatoolbox-otsu": _Entry(toolbox.otsu_masker, dark_field=False),
    "tiatoolbox-morphological": _Entry(toolbox.morphological_masker, dark_field=False),
}
"""Every method of `TissueRecipe.method` that works on a thumbnail, by its name."""


def segmenter(recipe: TissueRecipe) -> Segmenter:
    """The segmenter of the recipe's method, with the recipe's sizes."""
    return METHODS[recipe.method].made(recipe)


def found_tissue(slide_id: str, thumbnail: Image, mpp: float, recipe: TissueRecipe) -> Mask:
    """Tissue of one slide's thumbnail, bool (h, w), by the recipe's method.

    Raises SegmentationError where the background is dark and the method can only see dark on bright.
    """
    if not METHODS[recipe.method].dark_field and is_dark_field(thumbnail) and not is_featureless(thumbnail):
        able = [name for name, entry in METHODS.items() if entry.dark_field]
        raise SegmentationError.dark_field(slide_id, recipe.method, able)
    return segmenter(recipe)(thumbnail, mpp)
