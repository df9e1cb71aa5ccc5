"""What decides which tiles a slide gives and how their pixels are read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from wsi_features.recipe import Json, Recipe

TILES_VERSION = 1
"""Method version of the tiles stage."""


class TileRecipe(Recipe):
    """Size, resolution and selection of tiles. `auto` takes the encoder card's."""

    size: Annotated[int, Field(ge=16, le=8192)] | Literal["auto"] = Field(
        "auto", description="Tile width and height in pixels at `mpp`"
    )
    mpp: Annotated[float, Field(ge=0.05, le=20)] | Literal["auto"] = Field(
        "auto", description="Microns per pixel of the tiles"
    )
    overlap: int = Field(0, ge=0, description="Pixels shared with the next tile, at `mpp`; less than `size`")
    min_tissue: float = Field(0.1, ge=0, le=1, description="Least share of tissue for a tile to be kept")
    mpp_tolerance: float = Field(
        0.05, ge=0, le=0.5, description="How much coarser than asked a slide may be and still be read 1:1"
    )
    upsample: bool = Field(
        False, description="Accept slides coarser than that and enlarge their tiles, which adds no detail"
    )
    bounds: Literal["honour", "ignore"] = Field(
        "honour", description="Whether the grid starts at the scanned area that a file states (MRXS), or at 0, 0"
    )

    include: tuple[str, ...] = Field(
        (), description="Classes of a slide's `annotations` that tiles are restricted to; without any, all tissue"
    )
    exclude: tuple[str, ...] = Field((), description="Classes of a slide's `annotations` that tiles are kept out of")
    min_include: float = Field(0.5, gt=0, le=1, description="Least share of a tile that lies in `include`")
    max_exclude: float = Field(0.5, ge=0, lt=1, description="Largest share of a tile that may lie in `exclude`")
    absent_class: Literal["accept", "fail"] = Field(
        "accept",
        description="A slide without a class of `include` is empty, one without a class of `exclude` is taken whole; "
        "fail: both fail",
    )
    max_tiles: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Most tiles of a slide, spread evenly over its tissue; without it, all"
    )
    max_tiles_seed: int = Field(0, ge=0, description="Seed of that choice")

    historical: ClassVar[dict[str, Any]] = {
        "upsample": False,
        "bounds": "honour",
        "include": [],
        "exclude": [],
        "min_include": 0.5,
        "max_exclude": 0.5,
        "max_tiles": None,
        "max_tiles_seed": 0,
    }

    @model_validator(mode="after")
    def _classes_are_clear(self) -> TileRecipe:
        both = sorted(set(self.include) & set(self.exclude))
        if both:
            raise ValueError(f"class {both[0]!r} is in both `include` and `exclude`")
        if not all(name.strip() for name in self.named_classes):
            raise ValueError("a class name in `include` or `exclude` is empty")
        return self

    @property
    def named_classes(self) -> tuple[str, ...]:
        """All classes that `include` and `exclude` name, each once."""
        return tuple(dict.fromkeys((*self.include, *self.exclude)))

    def canonical(self) -> Json:
        """Without `absent_class`, which lets a slide pass and changes no number."""
        return {name: value for name, value in super().canonical().items() if name != "absent_class"}


class ReadRecipe(Recipe):
    """How the pixels of a tile are made, and how much damage is accepted."""

    interpolation: Literal["area", "bilinear", "bicubic", "lanczos"] = Field(
        "area", description="Resampling to the tile size: exact area average, or a kernel widened by the reduction"
    )
    decode: Literal["exact", "scaled", "nvjpeg"] = Field(
        "exact",
        description="JPEG: pixels as OpenSlide has them; reduced by 2, 4 or 8 while decoding; or decoded on the GPU "
        "(the last two are faster and a little different)",
    )
    colour: Literal["stored", "srgb"] = Field(
        "stored", description="Colours as stored, or converted to sRGB through the slide's ICC profile where it has one"
    )
    min_coverage: float = Field(1.0, gt=0, le=1, description="Least share of scanned pixels for a tile to be valid")
    max_bad_tile_fraction: float = Field(
        0.0, ge=0, le=1, description="Share of missing or unreadable tiles above which the slide fails"
    )

    historical: ClassVar[dict[str, Any]] = {"colour": "stored", "decode": "exact"}
