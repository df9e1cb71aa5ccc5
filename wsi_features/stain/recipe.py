"""What decides how stains are normalised."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wsi_features.recipe import Json, Recipe
from wsi_features.stain.target import load_target

STAIN_VERSION = 2
"""Method version of the stain stage: fit and application."""


class StainRecipe(Recipe):
    """Method, target, and the pixels that one slide's fit is made on."""

    method: Literal["none", "reinhard", "macenko"] = Field(
        "none", description="Stain normalization, fitted once per slide"
    )
    target: str = Field(
        "standard",
        min_length=1,
        description="Shipped target, or path of a YAML file like resources/stain/standard.yaml",
    )
    sample_mpp: float = Field(
        1.0, ge=0.05, le=20, description="Microns per pixel of the patches that the fit is made on"
    )
    patches: int = Field(64, ge=1, le=4096, description="Patches sampled over the tissue of a slide")
    patch_px: int = Field(128, ge=16, le=2048, description="Width and height of a patch in pixels at `sample_mpp`")
    max_pixels: int = Field(250_000, ge=1000, description="Most stained pixels that the fit uses, evenly thinned")
    seed: int = Field(0, ge=0, description="Seed of the patch positions")
    luminosity: float = Field(
        0.8, gt=0, le=1, description="Lightness above which a contrast-stretched pixel counts as glass, 1 is white"
    )
    percentile: float = Field(
        99.0, gt=50, lt=100, description="Macenko only: percentile of the angles that gives the stain vectors"
    )
    min_pixels: int = Field(1000, ge=16, description="Fewest stained pixels that a fit is made on")

    def canonical(self) -> Json:
        """The fields that change this method's numbers, with the target's numbers in place of its name.

        Reads the target file: a target edited in place gives another fingerprint, and
        the same numbers under another name give the same one. Raises StainTargetError.
        """
        if self.method == "none":
            return {"method": "none"}
        fields = super().canonical()
        if self.method != "macenko":
            fields.pop("percentile", None)
        return fields | {"target": load_target(self.target).numbers(self.method)}


def stain_recipe_json(recipe: StainRecipe) -> Json:
    """Everything that a stain fingerprint covers, the target's numbers included, as plain JSON values."""
    return recipe.canonical()
