"""What decides which tiles a slide gives and how their pixels are read."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

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

    source: Literal["grid", "random", "coordinates"] = Field(
        "grid",
        description="A regular grid; `sample` tiles at random positions in tissue; or the manifest's `coordinates` for "
        "every slide. A slide for which the manifest names `coordinates` has the tiles of that list in any case",
    )
    sample: int = Field(
        0, ge=0, description="Tiles of a slide, drawn at random from the grid or list; 0 takes all. `random` needs it"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of what is drawn at random")
    sample_overlap: bool = Field(True, description="Whether tiles at random positions may overlap")
    coordinates_at: Literal["corner", "centre"] = Field(
        "corner", description="What x and y of a list are: a tile's top-left corner, or its centre"
    )
    coordinates_keep: Literal["all", "tissue"] = Field(
        "all", description="Take all tiles of a list, or those with `min_tissue`"
    )
    coordinates_faults: Literal["fail", "drop"] = Field(
        "fail",
        description="A row of a list beyond the slide, twice or without a number: refuse the list, or leave it out",
    )
    nested: Literal["none", "parents", "regions", "context"] = Field(
        "none",
        description="parents: coarser grids whose tiles hold those of the finer one; regions: whole squares of tiles; "
        "context: a wider tile centred on each tile, row by row",
    )
    factors: tuple[Annotated[int, Field(ge=2, le=64)], ...] = Field(
        (),
        description="How many tiles wide a parent or region is, or how many times wider a context: [2, 4], [16], [4]",
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
        "source": "grid",
        "sample": 0,
        "seed": 0,
        "sample_overlap": True,
        "coordinates_at": "corner",
        "coordinates_keep": "all",
        "coordinates_faults": "fail",
        "nested": "none",
        "factors": [],
        "include": [],
        "exclude": [],
        "min_include": 0.5,
        "max_exclude": 0.5,
        "max_tiles": None,
        "max_tiles_seed": 0,
    }

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source == "random" and not self.sample:
            raise ValueError("`tiles.source` random needs `tiles.sample`, the number of tiles")
        if bool(self.factors) != (self.nested != "none"):
            raise ValueError("`tiles.nested` and `tiles.factors` come together: for example parents and [2, 4]")
        if self.nested in ("parents", "regions"):
            self._check_grid()
        if len(set(self.factors)) != len(self.factors):
            raise ValueError("each of `tiles.factors` may be listed once")
        if self.nested == "regions" and (len(self.factors) != 1 or self.is_restricted):
            raise ValueError(
                "regions have one of `tiles.factors`, their width in tiles, and are whole: leave out `tiles.sample`, "
                "`include`, `exclude` and `max_tiles`"
            )
        return self

    @model_validator(mode="after")
    def _classes_are_clear(self) -> Self:
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

    @property
    def is_restricted(self) -> bool:
        """Whether some of the tiles that the source gives may be left out."""
        return bool(self.sample or self.named_classes or self.max_tiles)

    def _check_grid(self) -> None:
        if self.overlap or self.source != "grid":
            raise ValueError(f"`tiles.nested` {self.nested} needs a grid without `tiles.overlap`")
        steps = zip((1, *self.factors), self.factors, strict=False)
        if any(coarse % fine for fine, coarse in steps):
            raise ValueError("each of `tiles.factors` must be a multiple of the one before, as [2, 4]")

    def canonical(self) -> Json:
        """Without what makes no difference: `absent_class` lets a slide pass, and nothing may be drawn at random."""
        idle = {"seed": not self.sample, "sample_overlap": self.source != "random", "absent_class": True}
        return {name: value for name, value in super().canonical().items() if not idle.get(name)}

    def coarser(self) -> TileView | None:
        """The tiles that hold these, in the next coarser grid of `parents`."""
        zoom = self.zoom if isinstance(self, TileView) else 1
        factor = next((f for f in self.factors if f > zoom), None)
        return self._view("parent", factor) if self.nested == "parents" and factor else None

    def views(self) -> tuple[TileView, ...]:
        """The recipes of the further tables that belong to this one: coarser grids, or contexts."""
        if self.nested not in ("parents", "context"):
            return ()
        return tuple(self._view("parent" if self.nested == "parents" else "context", f) for f in self.factors)

    def _view(self, view: Literal["parent", "context"], zoom: int) -> TileView:
        own = {name: getattr(self, name) for name in TileRecipe.model_fields}
        return TileView(**own, view=view, zoom=zoom)


class TileView(TileRecipe):
    """Tiles that belong to those of a recipe and are `zoom` times as wide: its parents, or its contexts.

    `mpp` is still that of the recipe, so that both follow from the same tiles.
    """

    view: Literal["parent", "context"]
    zoom: int

    def base(self) -> TileRecipe:
        """The recipe that they belong to."""
        return TileRecipe(**{name: getattr(self, name) for name in TileRecipe.model_fields})


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
