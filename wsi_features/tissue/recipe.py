"""What decides which parts of a slide count as tissue."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from wsi_features.recipe import Json, Recipe

TISSUE_VERSION = 1
"""Method version of the tissue stage."""


class TissueRecipe(Recipe):
    """How tissue is told from glass on a thumbnail, and which pieces and holes are kept.

    Lengths and areas are physical, so one recipe means the same on every scanner.
    """

    historical: ClassVar[dict[str, Any]] = {"model": None, "keep_classes": []}

    method: Literal["otsu", "model"] = Field(
        "otsu", description="Segmentation: Otsu's threshold on colour saturation, or a learned `model`"
    )
    mpp: float = Field(8.0, ge=1, le=64, description="Microns per pixel of the thumbnail that is segmented")
    median_um: float = Field(40.0, ge=0, le=200, description="Width of the median filter; 0 leaves it out")
    min_saturation: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Least saturation (0 to 1) of tissue, and the least by which it must exceed the glass",
    )
    sure_saturation: float = Field(
        0.15, ge=0, le=1, description="Saturation (0 to 1) above which a pixel is tissue whatever Otsu's threshold is"
    )
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

    model: str | None = Field(
        None, description="Of method model: grandqc_tissue, grandqc_artefact, hest_tissue, or the path of a card file"
    )
    weights: str | None = Field(
        None, description="Local weights file of the model; left out, the one in the weights registry"
    )
    keep_classes: tuple[str, ...] = Field(
        (), description="Classes of the model that count as tissue besides its own, such as fold or out_of_focus"
    )

    def canonical(self) -> Json:
        """Without the path of the weights; the stage adds their digest."""
        return {name: value for name, value in super().canonical().items() if name != "weights"}

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
