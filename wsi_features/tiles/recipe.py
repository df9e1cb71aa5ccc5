"""What decides which tiles a slide gives and how their pixels are read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from wsi_features.recipe import Recipe

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

    historical: ClassVar[dict[str, Any]] = {"upsample": False, "bounds": "honour"}


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
