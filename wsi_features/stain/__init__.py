"""Stain normalization: fitted once per slide on sampled pixels, applied to batches of tiles.

This package takes arrays and returns arrays or numbers; it opens no slide.
"""

from wsi_features.stain.fit import fit, measured_target
from wsi_features.stain.policy import StainFit, fitted, unfitted
from wsi_features.stain.recipe import STAIN_VERSION, StainRecipe, is_he, stain_recipe_json
from wsi_features.stain.sample import patch_origins, stained_pixels
from wsi_features.stain.target import StainTarget, load_target
from wsi_features.stain.transform import Identity, Reinhard, StainMatrix, StainTransform, transform_from_parameters

__all__ = [
    "STAIN_VERSION",
    "Identity",
    "Reinhard",
    "StainFit",
    "StainMatrix",
    "StainRecipe",
    "StainTarget",
    "StainTransform",
    "fit",
    "fitted",
    "is_he",
    "load_target",
    "measured_target",
    "patch_origins",
    "stain_recipe_json",
    "stained_pixels",
    "transform_from_parameters",
    "unfitted",
]
