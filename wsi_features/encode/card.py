"""The encoder card: everything that has to be known to use one encoder rightly.

A card is one small YAML file. It says what goes in (pixels, microns per pixel,
normalisation), how the network is built and what comes out; it holds no weights.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wsi_features.errors import ScaleContractError
from wsi_features.recipe import Json, Recipe

Precision = Literal["fp32", "fp16", "bf16"]
Triple = tuple[float, float, float]

_NAME = r"^[a-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9._+/-]+)?$"
_NOT_HASHED = (
    *("licence", "source", "gated", "paper", "notes"),
    *("parameters", "weights_sha256", "mpp_range", "tile_px", "tile_mpp", "precision"),
)
"""What describes, guards, or is a default that another recipe holds resolved: none of it changes a number."""


class EncoderCard(Recipe):
    """One encoder. Positions of the slide end at its door: pixels in, vectors out."""

    name: str = Field(pattern=_NAME, description="Unique name; an output variant stands behind a colon")
    builder: Literal["histo-texture", "timm"] = Field(description="The constructor that makes the encoder")
    arguments: dict[str, Any] = Field(default_factory=dict, description="What the builder's constructor is called with")
    tile_px: Annotated[int, Field(ge=16, le=8192)] = Field(description="Tile width read from the slide, in pixels")
    tile_mpp: Annotated[float, Field(gt=0)] = Field(description="Microns per pixel of that tile")
    mpp_range: tuple[float, float] = Field(description="Lowest and highest effective microns per pixel accepted")
    input_px: Annotated[int, Field(ge=16)] = Field(description="Width that the network sees, after resizing the tile")
    interpolation: Literal["bilinear", "bicubic"] = Field(
        "bilinear", description="Resize from tile to input, antialiased"
    )
    mean: Triple = Field((0.0, 0.0, 0.0), description="Subtracted from RGB in 0 to 1")
    std: Triple = Field((1.0, 1.0, 1.0), description="Divides what is left")
    output: Literal["descriptor", "cls", "cls+mean", "mean", "pooled"] = Field(description="What is made of the tokens")
    dim: Annotated[int, Field(ge=1)] = Field(description="Width of the feature vector")
    prefix_tokens: int = Field(0, ge=0, description="Class and register tokens before the patch tokens")
    precision: Precision = Field("fp32", description="Default arithmetic")
    parameters: int | None = Field(None, ge=0, description="Parameter count, checked after loading")
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Checked when known")
    licence: str = Field(description="Of the weights")
    source: str = Field(description="Where the weights are published")
    gated: bool = False
    paper: str = ""
    notes: str = ""

    @model_validator(mode="after")
    def _range_holds_the_tile(self) -> EncoderCard:
        low, high = self.mpp_range
        if not 0 < low <= self.tile_mpp <= high:
            raise ValueError(f"mpp_range {low:g} to {high:g} must hold tile_mpp {self.tile_mpp:g}")
        return self

    @property
    def slug(self) -> str:
        """The name as it stands in paths: letters, digits, `.`, `_` and `-` only."""
        return self.name.replace(":", ".").replace("+", "-").replace("/", "-")

    @property
    def needs_weights(self) -> bool:
        """Whether a local weights file is needed."""
        return self.builder != "histo-texture"

    def canonical(self) -> Json:
        """Only what changes the numbers: a corrected licence, or a digest filled in later, leaves stores valid."""
        return {k: v for k, v in super().canonical().items() if k not in _NOT_HASHED}

    def check_scale(self, effective: float, tile_px: int) -> None:
        """Refuse tiles of another physical scale than the encoder was made for.

        `effective` is in microns per pixel. Raises ScaleContractError.
        """
        low, high = self.mpp_range
        if not low <= effective <= high:
            wanted = f"{low:g} to {high:g} um/px (best {self.tile_mpp:g})"
            raise ScaleContractError.outside(self.name, "the effective resolution", f"{effective:.4g} um/px", wanted)
        if tile_px < self.input_px:
            wanted = f"{self.input_px} px or more"
            raise ScaleContractError.outside(self.name, "the tile size", f"{tile_px} px", wanted)
