"""The encoders of a run: their cards, their weights, and the tiles that each one asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsi_features.config import Config, EncoderChoice
from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.device.retry import NonFinite
from wsi_features.encode.registry import card_named
from wsi_features.encode.weights import sha256_of
from wsi_features.encode.weights_store import WeightsRegistry, named_digest
from wsi_features.errors import (
    ConfigError,
    ScaleContractError,
    SlideScaleError,
    StainContractError,
    WeightsError,
    WeightsStoreError,
)
from wsi_features.stain.recipe import StainRecipe
from wsi_features.tiles.grid import TileScale
from wsi_features.tiles.recipe import TileRecipe, TileView

_ROUNDING = 0.005
"""How far whole pixels of a slide may put the effective resolution off the one asked for."""


@dataclass(frozen=True, slots=True)
class EncoderPlan:
    """One encoder with the tile recipe it gets, where `auto` has been filled in from its card."""

    choice: EncoderChoice
    card: EncoderCard
    tiles: TileRecipe

    @property
    def tiling(self) -> str:
        """The name of the tiling in paths."""
        return tiling_name(self.tiles)

    @property
    def precision(self) -> Precision:
        """The arithmetic used: the card's unless the config says otherwise."""
        return self.card.precision if self.choice.precision == "auto" else self.choice.precision

    @property
    def nonfinite(self) -> NonFinite:
        """What happens to NaN and infinity; what fp32 itself returns cannot be mended in fp32."""
        return "fail" if self.precision == "fp32" else self.choice.nonfinite

    @property
    def weights(self) -> Path | None:
        """The weights file named in the config, else the registry's; None for an encoder without weights.

        Raises WeightsError when there is none, and when it is not clear which.
        """
        return weights_file(self.card, self.choice.weights)

    def outside_card(self, scale: TileScale) -> bool:
        """Whether tiles of this real scale are outside the card's range, which only `scale: any` lets pass."""
        rounded = abs(scale.effective / scale.asked - 1) <= _ROUNDING
        try:
            self.card.check_scale(scale.asked if rounded else scale.effective, scale.size)
        except ScaleContractError:
            return True
        return False

    def other_stain(self, recipe: StainRecipe) -> bool:
        """Whether stains are normalised otherwise than the card asks, which only `stain: any` lets pass."""
        try:
            self.card.check_stain(recipe.method, recipe.target)
        except StainContractError:
            return True
        return False

    def check_slide(self, slide_id: str, scale: TileScale) -> None:
        """Refuse the tiles of one slide where their real resolution is outside the card's range. Raises SlideScaleError.

        The one asked for is inside; a coarser slide that is read one to one, or enlarged, may leave it.
        """
        if self.choice.scale == "card" and self.outside_card(scale):
            tile = (scale.size, float(scale.effective))
            raise SlideScaleError.outside(slide_id, self.card.name, tile, self.card.mpp_range)


def weights_file(card: EncoderCard, named: str | None = None) -> Path | None:
    """The file `named`, else the registry's of the card's encoder; None where none is needed. Raises WeightsError."""
    if named:
        if not Path(named).is_file():
            raise WeightsError.no_file(card.name, named)
        return Path(named)
    return WeightsRegistry.of_environment().weights_of(card).file if card.needs_weights else None


def weights_digest(card: EncoderCard, path: Path | None) -> str:
    """SHA-256 of a weights file, hashed now; empty for an encoder without weights.

    Raises WeightsStoreError when a file that is named by its digest has another.
    """
    if path is None:
        return ""
    found = sha256_of(path)
    if named_digest(path) not in (None, found):
        raise WeightsStoreError.other_content(card.name, str(path), found)
    return found


def encoder_plans(config: Config) -> tuple[EncoderPlan, ...]:
    """The encoders of `config`, checked against the tiles asked for.

    Raises UnknownEncoderError, CardError, ScaleContractError, StainContractError or ConfigError: nothing has started then.
    """
    plans = tuple(plan for choice in config.encoders for plan in _plans(config, choice))
    names = [(plan.card.name, plan.precision) for plan in plans if not isinstance(plan.tiles, TileView)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError.invalid("config", "encoders", name[0], "an encoder may be listed once")
    return plans


def tilings(plans: tuple[EncoderPlan, ...]) -> dict[str, TileRecipe]:
    """The distinct tile recipes, by name: encoders that agree share one."""
    return {plan.tiling: plan.tiles for plan in plans}


def tiling_name(tiles: TileRecipe) -> str:
    """`<px>px_<mpp>mpp`, `_<overlap>` where tiles overlap, and what they are to others: `_parent4`, `_context4`."""
    overlap = f"_{tiles.overlap}" if tiles.overlap else ""
    view = f"_{tiles.view}{tiles.zoom}" if isinstance(tiles, TileView) else ""
    return f"{tiles.size}px_{_mpp(tiles)}mpp{overlap}{view}"


def _mpp(tiles: TileRecipe) -> float:
    """The resolution of the tiles themselves: a view's recipe has that of the tiles that it belongs to."""
    assert isinstance(tiles.mpp, float)  # noqa: S101 - resolved from the card
    return float(f"{tiles.mpp * tiles.zoom:.12g}") if isinstance(tiles, TileView) else tiles.mpp


def _plans(config: Config, choice: EncoderChoice) -> tuple[EncoderPlan, ...]:
    """An encoder with its tiles, and once more for each table of tiles that belongs to them."""
    plan = _plan(config, choice)
    views = tuple(EncoderPlan(choice, plan.card, view) for view in plan.tiles.views())
    if choice.scale == "card":
        for view in views:
            assert isinstance(view.tiles.size, int)  # noqa: S101 - as above
            plan.card.check_scale(_mpp(view.tiles), view.tiles.size)
    return plan, *views


def _plan(config: Config, choice: EncoderChoice) -> EncoderPlan:
    card = card_named(choice.name)
    size = card.tile_px if config.tiles.size == "auto" else config.tiles.size
    mpp = card.tile_mpp if config.tiles.mpp == "auto" else config.tiles.mpp
    if config.tiles.overlap >= size:
        raise ConfigError.invalid(
            "config", "tiles.overlap", config.tiles.overlap, f"it must be less than the size {size}"
        )
    if choice.scale == "card":
        card.check_scale(mpp, size)
    if choice.stain == "card":
        card.check_stain(config.stain.method, config.stain.target)
    return EncoderPlan(choice, card, config.tiles.model_copy(update={"size": size, "mpp": mpp}))
