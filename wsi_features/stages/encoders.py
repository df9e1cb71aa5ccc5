"""The encoders of a run: their cards, and the tiles that each one asks for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsi_features.config import Config, EncoderChoice
from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.device.retry import NonFinite
from wsi_features.encode.registry import card_named
from wsi_features.errors import ConfigError, WeightsError
from wsi_features.tiles.recipe import TileRecipe


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
        """The weights file named in the config."""
        return Path(self.choice.weights) if self.choice.weights else None

    def check_weights(self) -> None:
        """Raise WeightsError when the encoder needs a file that was not given, or is not there."""
        if self.weights is None:
            if self.card.needs_weights:
                raise WeightsError.needed(self.card.name)
        elif not self.weights.is_file():
            raise WeightsError.no_file(self.card.name, str(self.weights))


def encoder_plans(config: Config) -> tuple[EncoderPlan, ...]:
    """The encoders of `config`, checked against the tiles asked for.

    Raises UnknownEncoderError, CardError, ScaleContractError or ConfigError: nothing has started then.
    """
    plans = tuple(_plan(config, choice) for choice in config.encoders)
    names = [(plan.card.name, plan.precision) for plan in plans]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError.invalid("config", "encoders", name[0], "an encoder may be listed once")
    return plans


def tilings(plans: tuple[EncoderPlan, ...]) -> dict[str, TileRecipe]:
    """The distinct tile recipes, by name: encoders that agree share one."""
    return {plan.tiling: plan.tiles for plan in plans}


def tiling_name(tiles: TileRecipe) -> str:
    """`<px>px_<mpp>mpp`, and `_<overlap>` where tiles overlap."""
    overlap = f"_{tiles.overlap}" if tiles.overlap else ""
    return f"{tiles.size}px_{tiles.mpp}mpp{overlap}"


def _plan(config: Config, choice: EncoderChoice) -> EncoderPlan:
    card = card_named(choice.name)
    size = card.tile_px if config.tiles.size == "auto" else config.tiles.size
    mpp = card.tile_mpp if config.tiles.mpp == "auto" else config.tiles.mpp
    if config.tiles.overlap >= size:
        raise ConfigError.invalid(
            "config", "tiles.overlap", config.tiles.overlap, f"it must be less than the size {size}"
        )
    card.check_scale(mpp, size)
    return EncoderPlan(choice, card, config.tiles.model_copy(update={"size": size, "mpp": mpp}))
