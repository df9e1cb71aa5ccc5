"""Hints about what went into the encoder, of two sides that one encoder made: colours, sharpness, or something that features do not tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wsi_features.cohort.compare.evidence import ColumnDifference, Evidence, Hint, Numbers
from wsi_features.cohort.compare.numbers import FeatureMoments
from wsi_features.cohort.compare.recipes import Difference

COLOUR = ("haematoxylin_od", "eosin_od", "white_share", "grey_share", "blood_share")
DETAIL = ("laplacian_variance", "sharpness", "blockiness")
"""Measured columns of each kind; they are of the pixels as read, before stain normalisation."""

_PLACES = {"displaced", "footprint", "grid_shift", "precision", "arithmetic"}
"""Hints that explain other pixels, or other numbers, by themselves."""

_UNKNOWN = (
    "Features alone do not tell why: channel order (BGR), mean and standard deviation, resize kernel and antialiasing, JPEG "
    "decoding, stain normalisation, a crop, or arithmetic all look like this. Compare with one of them changed at a time."
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A part of the recipe whose change explains other features, and what a person would call it."""

    prefix: tuple[str, ...]
    says: str


CAUSES = (
    Cause(("slide_fingerprint", "slide_size"), "the slide files are not the same (scanned again, converted, or another slide)"),
    Cause(("weights_sha256", "recipes.embed.encoder.weights"), "the weights are other ones"),
    Cause(("encoder.name", "recipes.embed.encoder.card.builder", "recipes.embed.encoder.card.arguments"), "the encoders are other ones"),
    Cause(("recipes.embed.encoder.card.output", "recipes.embed.encoder.card.dim", "recipes.embed.encoder.card.prefix_tokens"), "other outputs of the encoder were taken"),
    Cause(("recipes.stain", "stain"), "stain normalisation differs"),
    Cause(("recipes.embed.encoder.card.mean", "recipes.embed.encoder.card.std"), "the encoder's input was normalised with another mean and standard deviation"),
    Cause(("recipes.embed.encoder.card.input_px", "recipes.embed.encoder.card.resize_px", "recipes.embed.encoder.card.interpolation"), "the encoder's input was resized otherwise"),
    Cause(("recipes.embed.read",), "tiles were read otherwise (resampling, decoding or colours)"),
    Cause(("mpp_asked", "mpp_effective", "mpp_native", "span", "tile_px", "recipes.tiles.mpp", "recipes.tiles.size", "level", "resize"), "resolution or tile size differs"),
    Cause(("precision", "recipes.embed.encoder.precision"), "the encoder ran in another precision"),
    Cause(("device", "versions."), "device or library versions differ"),
)  # fmt: skip


def recipe_hints(found: Evidence) -> Iterator[Hint]:
    """What both stores say of themselves and say differently; `shown`, for it is written there."""
    differences = found.recipes or ()
    for cause in CAUSES:
        named = [each for each in differences if each.name.startswith(cause.prefix)]
        if named:
            kind = "versions" if "device" in cause.prefix else "recipe"
            yield _recorded(kind, f"By their own records {cause.says}:", named)
    others = [each for each in differences if not any(each.name.startswith(cause.prefix) for cause in CAUSES)]
    if others:
        yield _recorded("recipe", "Their records differ also in", others)
    if found.recipes is not None and not found.recipes and not found.all_equal:
        yield Hint("recipe", "shown", "Their records say the same of both: by them, the features should be equal.")


def _recorded(kind: str, text: str, named: Sequence[Difference], most: int = 6) -> Hint:
    """Fields that both sides have come first: one that a side lacks mostly follows from another."""
    both = [each for each in named if each.one is not None and each.two is not None]
    shown = (both or list(named))[:most]
    more = f", and {len(named) - len(shown)} more" if len(named) > len(shown) else ""
    names = ", ".join(each.name for each in shown)
    return Hint(kind, "shown", f"{text} {names}{more}.", {each.name: str(each).partition(": ")[2] for each in shown})


def pixel_hints(found: Evidence, before: Sequence[Hint]) -> Iterator[Hint]:
    """What measured columns and named features speak for, of sides that one encoder made; `before` are the hints so far."""
    told = [*_columns(found.columns), *_named(found)]
    yield from told
    explained = [each for each in found.recipes or () if not each.of_the_machine]
    if not told and not explained and not any(hint.kind in _PLACES for hint in before):
        yield Hint("pixels", "possible", _UNKNOWN)


def _columns(columns: Sequence[ColumnDifference]) -> Iterator[Hint]:
    """Of the pixels as they were read: equal ones put the cause behind the reading."""
    known = [each for each in columns if each.name in (*COLOUR, *DETAIL)]
    if not known:
        return
    moved = [each for each in known if each.equal < 1]
    if not moved:
        text = (
            "All measured columns are equal on all tiles, so the same pixels were read: the cause lies behind that, in stain "
            "normalisation, channel order, mean and standard deviation, the encoder's own resize, precision or weights."
        )
        yield Hint("same_pixels", "shown", text, {"columns": len(known)})
        return
    colour = [each for each in moved if each.name in COLOUR and _change(each) > 0.02]
    detail = [each for each in moved if each.name in DETAIL and _change(each) > 0.02]
    numbers = {each.name: f"{each.one:.4g} / {each.two:.4g}" for each in (*colour, *detail)}
    if detail and not colour:
        text = "The pixels that were read have the same colours and other sharpness: another resize kernel, pyramid level, JPEG quality or resolution."
        yield Hint("detail", "likely", text, numbers)
    elif colour:
        also = " and other sharpness" if detail else ""
        text = f"The pixels that were read have other colours{also}: colour profile, scan, JPEG decoder or channel order, before any stain normalisation."
        yield Hint("colour", "likely", text, numbers)
    else:
        text = "The pixels that were read differ by little: a level here and there, as another JPEG decoder or resampling leaves."
        yield Hint("little", "likely", text, {each.name: f"equal on {each.equal:.0%} of tiles" for each in moved})


def _change(each: ColumnDifference) -> float:
    return abs(each.two - each.one) / max(abs(each.one), abs(each.two), 1e-9)


def _named(found: Evidence) -> Iterator[Hint]:
    """Features that have names: which kind of them moved.

    Local binary patterns ignore brightness and contrast, and layout alone knows which way a tile lies.
    """
    if not found.names or found.moments is None or len(found.names) != found.one.dim:
        return
    moved = _moved_by_kind(found.moments, found.names)
    colour, texture, layout = moved["colour"], moved["texture"], moved["layout"]
    numbers: Numbers = {f"change of {name}": value for name, value in moved.items()}
    if layout > 0.3 and max(colour, texture, moved["other"]) < 0.02:
        yield Hint(
            "mirrored", "likely", "Only where in a tile things lie changes: tiles are mirrored or turned.", numbers
        )
    elif colour > 0.1 and moved["saturation and value"] < 0.01:
        text = (
            "Colours change, but saturation and value, which no exchange of channels moves, keep: red, green and blue are in "
            "another order (BGR for RGB)."
        )
        yield Hint("channels", "likely", text, numbers)
    elif texture > max(2 * colour, 0.02):
        text = (
            "Fine texture changes most and colours keep: another resize kernel or antialiasing, JPEG compression or decoder, or "
            "a finer or coarser level that was read."
        )
        yield Hint("detail", "likely", text, numbers)
    elif colour > max(2 * texture, 0.02):
        text = "Colours change most and texture keeps: stain normalisation, a colour profile, or the scanner's white balance."
        yield Hint("colour", "likely", text, numbers)


def _moved_by_kind(moments: FeatureMoments, names: Sequence[str]) -> dict[str, float]:
    """How much features of a kind change, in their spread over the tiles: root mean square of the difference, median over the kind."""
    kinds = np.array([_kind(name) for name in names])
    apart = moments.squares.sum(axis=0) - 2 * moments.products
    shift = moments.means[1] - moments.means[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.sqrt(np.maximum(apart, 0) / moments.n + shift**2) / moments.spreads[0]
    varying = moments.varying
    of_kind = {
        kind: change[(kinds == kind) & varying]
        for kind in ("colour", "saturation and value", "texture", "layout", "other")
    }
    return {kind: float(np.median(found)) if len(found) else 0.0 for kind, found in of_kind.items()}


_KINDS = {
    **dict.fromkeys(("h", "e", "r", "lab", "hue"), "colour"),
    **dict.fromkeys(("saturation", "value"), "saturation and value"),
    "lbp": "texture",
    "layout": "layout",
}
"""By the first word of a feature's name; saturation and value are the same in any order of the channels."""


def _kind(name: str) -> str:
    return _KINDS.get(name.partition("_")[0], "other")
