"""What decides how stains are normalised."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field

from wsi_features.recipe import Json, Recipe
from wsi_features.stain.target import load_target

STAIN_VERSION = 3
"""Method version of the stain stage: fit and application."""

_VERSION_OF_NONE = 2


class StainRecipe(Recipe):
    """Method, target, and the pixels that one slide's fit is made on."""

    historical: ClassVar[dict[str, Any]] = {"on_bad_fit": "fail", "non_he": "refuse"}

    method: Literal["none", "reinhard", "macenko", "vahadane"] = Field(
        "none", description="Stain normalization, fitted once per slide"
    )
    target: str = Field(
        "standard",
        min_length=1,
        description="Shipped target, path of a YAML file (`wsi-features stain target` makes one) or of a reference image",
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
    sparsity: float = Field(
        0.1, ge=0, le=1, description="Vahadane only: how much a pixel of a single stain is preferred"
    )
    min_pixels: int = Field(1000, ge=16, description="Fewest stained pixels that a fit is made on")
    on_bad_fit: Literal["fail", "raw", "target-only"] = Field(
        "fail",
        description="A slide that does not determine a transform fails, stays as it is, or is taken to have the target's stains",
    )
    non_he: Literal["refuse", "raw", "apply"] = Field(
        "refuse",
        description="A slide whose manifest `stain` is not H&E fails, stays as it is, or is normalised like the others",
    )

    def canonical(self) -> Json:
        """The fields that change this method's numbers, with the target's numbers in place of its name.

        Reads the target file: a target edited in place gives another fingerprint, and
        the same numbers under another name give the same one. Raises StainTargetError.
        """
        if self.method == "none":
            return {"method": "none"}
        fields = super().canonical()
        for field, method in (("percentile", "macenko"), ("sparsity", "vahadane")):
            if self.method != method:
                fields.pop(field, None)
        return fields | {"target": load_target(self.target).numbers(self.method)}


def stain_recipe_json(recipe: StainRecipe) -> Json:
    """Everything that a stain fingerprint covers, the target's numbers included, as plain JSON values."""
    return recipe.canonical()


def stain_version(recipe: StainRecipe) -> int:
    """The method version that a recipe is under: without a method nothing has changed since an older one."""
    return _VERSION_OF_NONE if recipe.method == "none" else STAIN_VERSION


_HE = re.compile(r"h\s*(&|\+|and|/)?\s*e|ha?ematoxylin\s*(&|\+|and|/|-)?\s*eosin")


def is_he(stain: str) -> bool:
    """Whether a manifest's `stain` means haematoxylin and eosin; an empty one does: what nobody says otherwise."""
    return not stain.strip() or _HE.fullmatch(stain.strip().lower()) is not None
