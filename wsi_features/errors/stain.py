"""Errors of stain normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError
from wsi_features.errors.cohort import ConfigError
from wsi_features.errors.encoders import EncoderError


class StainFitError(SlideError):
    """The stain transform of a slide cannot be fitted."""

    reason: ClassVar[str] = "stain_fit"

    @classmethod
    def too_few_pixels(cls, slide_id: str, method: str, found: int, wanted: int) -> StainFitError:
        """Not enough stained pixels to estimate anything."""
        return cls(
            f"slide {slide_id!r}: {method} found {found} stained tissue pixels, wanted at least {wanted}. "
            "Set `stain.on_bad_fit` to raw to keep such slides as they are, `stain.method` to none, or drop the slide."
        )

    @classmethod
    def degenerate(cls, slide_id: str, method: str, why: str) -> StainFitError:
        """The pixels do not show two separable stains (one colour, pen, blank)."""
        return cls(
            f"slide {slide_id!r}: {method} fit is degenerate ({why}). "
            "Set `stain.on_bad_fit` to raw or target-only, `stain.method` to none or reinhard, or drop the slide."
        )

    @classmethod
    def no_contrast(cls, slide_id: str, method: str, channel: str, found: float, wanted: float) -> StainFitError:
        """One colour channel is flat, so its spread cannot be scaled."""
        return cls(
            f"slide {slide_id!r}: {method} found a standard deviation of {found:.2f} in {channel}, "
            f"wanted at least {wanted:g}. Set `stain.on_bad_fit` to raw or target-only, `stain.method` to none, "
            "or drop the slide."
        )

    @classmethod
    def too_few_tiles(cls, slide_id: str, found: int, total: int) -> StainFitError:
        """For the stain report: a slide needs two tiles to be compared with others."""
        return cls(
            f"slide {slide_id!r}: {found} readable tiles of {total} were drawn, wanted at least 2. "
            "Ask for more with `--tiles`, or leave the slide out."
        )


class StainKindError(SlideError):
    """The slide is not stained with what the normalization is made for."""

    reason: ClassVar[str] = "not_he"

    @classmethod
    def not_he(cls, slide_id: str, method: str, stain: str) -> StainKindError:
        """H&E normalization would recolour another stain."""
        return cls(
            f"slide {slide_id!r} is stained {stain!r} in the manifest; {method} normalises H&E. "
            "Set `stain.non_he` to raw to keep such slides as they are, or to apply; or correct the manifest."
        )


class StainContractError(EncoderError):
    """The tiles would not be stained as the encoder saw them in training."""

    @classmethod
    def outside(cls, name: str, found: tuple[str, str], method: str, target: str) -> StainContractError:
        """`found` is the method and the target of the config."""
        return cls(
            f"encoder {name!r} needs stain normalization by {method} to {target}; found method {found[0]!r} and target "
            f"{found[1]!r}. Set `stain.method` to {method} and `stain.target` to the path of that image, "
            "or give the encoder `stain: any`, which each store then records."
        )


class StainTargetError(ConfigError):
    """The stain target that the config names cannot be used."""

    @classmethod
    def unknown(cls, name: str, shipped: Sequence[str]) -> StainTargetError:
        """Neither a shipped name nor a file."""
        return cls(
            f"no stain target {name!r}. Set `stain.target` to one of: {', '.join(shipped)}; "
            "or to the path of a YAML file like resources/stain/standard.yaml."
        )

    @classmethod
    def without(cls, description: str, method: str) -> StainTargetError:
        """The target is of another method."""
        return cls(
            f"the stain target {description!r} has no `{method}` section. "
            f"Measure one with `wsi-features stain target`, or set `stain.target` to standard."
        )

    @classmethod
    def unusable_image(cls, path: str, why: str) -> StainTargetError:
        """A reference image of which no target can be measured."""
        return cls(
            f"no stain target can be measured of {path!r} ({why}). Give an H&E image of at least "
            "1000 stained pixels, well stained with both dyes."
        )

    @classmethod
    def no_fits(cls, out: str, found: int) -> StainTargetError:
        """A median of no, or hardly any, slides."""
        return cls(
            f"{out!r} holds {found} good stain fits, wanted at least 2 for a median. "
            "Run `wsi-features run` or `wsi-features stain` with `--stain macenko` first."
        )

    @classmethod
    def unreadable(cls, path: str, why: str) -> StainTargetError:
        """Not a text file, or not YAML."""
        return cls(f"stain target {path!r} cannot be read ({why}). Start from resources/stain/standard.yaml.")

    @classmethod
    def invalid(cls, path: str, where: str, found: object, wanted: str) -> StainTargetError:
        """One value does not follow the schema; `where` is its dotted name."""
        return cls(
            f"stain target {path!r}: `{where}` is {found!r}; {wanted}. "
            "Correct it, with resources/stain/standard.yaml as the model."
        )
