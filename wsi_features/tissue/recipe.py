"""What decides which parts of a slide count as tissue."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from wsi_features.recipe import Json, Recipe

TISSUE_VERSION = 2
"""Method version of the tissue stage. 2: glass is made white first, grey tissue is found by its texture, ink is left out."""

Method = Literal["otsu", "hsv", "entropy", "tiatoolbox-otsu", "tiatoolbox-morphological", "model"]


class TissueRecipe(Recipe):
    """How tissue is told from glass on a thumbnail, and which pieces and holes are kept.

    Lengths and areas are physical, so one recipe means the same on every scanner.
    """

    method: Method = Field(
        "otsu",
        description="Segmentation: `otsu` (any stain, and fluorescence), `hsv` (one saturation for all slides), "
        "`entropy` (texture: grey stains, unstained tissue), `tiatoolbox-otsu`, `tiatoolbox-morphological`, or a learned `model`",
    )
    mpp: float = Field(8.0, ge=1, le=64, description="Microns per pixel of the thumbnail that is segmented")
    median_um: float = Field(24.0, ge=0, le=200, description="Width of the median filter; 0 leaves it out")
    min_saturation: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Least saturation (0 to 1) of tissue, and the least by which it must exceed the glass",
    )
    sure_saturation: float = Field(
        0.1,
        ge=0,
        le=1,
        description="Saturation (0 to 1) above which a pixel is tissue whatever Otsu's threshold is",
    )
    min_darkness: float = Field(
        0.08,
        ge=0,
        le=1,
        description="Least darkness (0 to 1, against the glass) of tissue without colour, found by its texture",
    )
    window_um: float = Field(72.0, ge=8, le=500, description="Width of the window in which texture is measured")
    exclude_pen: bool = Field(True, description="Leave pen marks out of the tissue (`otsu`, `hsv` and `entropy`)")
    closing_diameter_um: float = Field(
        40.0, ge=0, le=500, description="Diameter of the disc that closes gaps; 0 leaves it out"
    )
    min_area_um2: float = Field(
        50_000.0, ge=0, le=1e8, description="Pieces of tissue smaller than this, in square microns, are dropped"
    )
    min_hole_um2: float = Field(
        10_000.0, ge=0, le=1e8, description="Holes smaller than this, in square microns, are filled"
    )
    annotation_class: str = Field(
        "Tissue",
        min_length=1,
        max_length=200,
        description="Class of the objects in a slide's `annotations` that replace the segmented mask",
    )
    without_class: Literal["fail", "segment"] = Field(
        "fail",
        description="A slide whose `annotations` have no object of that class, nor of `tiles.include` or "
        "`tiles.exclude`: it fails, or its tissue is segmented",
    )
    mask_labels: tuple[int, ...] = Field(
        (), description="Values of the manifest's `mask` images that are tissue; without any, all but 0"
    )

    model: str | None = Field(
        None, description="Of method model: grandqc_tissue, grandqc_artefact, hest_tissue, or the path of a card file"
    )
    weights: str | None = Field(
        None, description="Local weights file of the model; left out, the one in the weights registry"
    )
    keep_classes: tuple[str, ...] = Field(
        (), description="Classes of the model that count as tissue besides its own, such as fold or out_of_focus"
    )

    historical: ClassVar[dict[str, Any]] = {
        "exclude_pen": True,
        "min_darkness": 0.08,
        "window_um": 72.0,
        "mask_labels": [],
        "model": None,
        "keep_classes": [],
    }

    def canonical(self) -> Json:
        """Without `without_class`, which lets a slide pass, and the path of the weights, whose digest the stage adds."""
        left_out = ("without_class", "weights")
        return {name: value for name, value in super().canonical().items() if name not in left_out}

    @model_validator(mode="after")
    def _a_model_is_named_where_one_is_used(self) -> TissueRecipe:
        if self.method == "model" and self.model is None:
            raise ValueError("method model needs the name of a `model`")
        if self.method != "model" and (self.model or self.weights or self.keep_classes):
            raise ValueError(f"model, weights and keep_classes belong to method model, not to {self.method}")
        return self

    @model_validator(mode="after")
    def _sure_is_not_below_least(self) -> TissueRecipe:
        if self.sure_saturation < self.min_saturation:
            raise ValueError(
                f"sure_saturation {self.sure_saturation:g} is below min_saturation {self.min_saturation:g}"
            )
        return self
