"""Encoder cards by name: those that ship, a user's own file, and any model of timm.

Cards are read when they are asked for. Only `timm:NAME` imports timm; listing names
imports neither it nor torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import ValidationError

from wsi_features.encode.card import EncoderCard
from wsi_features.errors import CardError, UnknownEncoderError
from wsi_features.resources import share

if TYPE_CHECKING:
    from timm.models import PretrainedCfg

_TIMM = "timm:"


def card_names() -> list[str]:
    """Names of the shipped cards, sorted."""
    return sorted(_shipped())


def card_named(name: str) -> EncoderCard:
    """The card of a shipped name, of a user's card file (`path/to/card.yaml`), or of `timm:MODEL`.

    Raises UnknownEncoderError and CardError.
    """
    if name.startswith(_TIMM):
        return _timm_card(name)
    if name.endswith(".yaml"):
        return card_of(Path(name))
    shipped = _shipped()
    if name in shipped:
        return shipped[name]
    known = sorted(shipped)
    close = _close(name, known)
    raise UnknownEncoderError.misspelled(name, close, known) if close else UnknownEncoderError.named(name, known)


def card_of(path: Path) -> EncoderCard:
    """The card in one file. Raises CardError."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CardError.unreadable(str(path), " ".join(str(error).split())) from error
    if not isinstance(fields, dict):
        raise CardError.unreadable(str(path), f"it holds a {type(fields).__name__}, not a mapping")
    try:
        return EncoderCard.model_validate(fields)
    except ValidationError as error:
        raise _card_error(str(path), error) from error


def _shipped() -> dict[str, EncoderCard]:
    cards = [card_of(path) for path in share("resources", "encoders").glob("*.yaml")]
    return {card.name: card for card in cards}


def _card_error(path: str, error: ValidationError) -> CardError:
    """The first of pydantic's complaints."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return CardError.missing(path, where)
    if first["type"] == "extra_forbidden":
        return CardError.unknown_field(path, where, list(EncoderCard.model_fields))
    if not where:  # a check of several fields together; its text names them and their values
        return CardError.unreadable(path, first["msg"])
    return CardError.invalid(path, f"`{where}`", first["input"], first["msg"])


def _close(name: str, known: Iterable[str]) -> list[str]:
    """What `name` was probably meant to be: names that it begins, then similar ones, whatever the case."""
    lower = {k.lower(): k for k in known}
    begun = [k for k in lower if name and k.startswith(name.lower())]
    similar = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    return [lower[k] for k in dict.fromkeys([*begun, *similar])][:3]


def _timm_card(name: str) -> EncoderCard:
    """A card from what timm states of the model; width and parameters are counted on an empty network."""
    import timm

    from wsi_features.encode.timm_network import outline

    model = name.removeprefix(_TIMM)
    stated = _timm_config(name, model)
    draft = EncoderCard(
        name=name,
        builder="timm",
        arguments={"model": model},
        tile_px=stated.input_size[-1],
        tile_mpp=0.5,
        mpp_range=(0.1, 10.0),
        input_px=stated.input_size[-1],
        interpolation=stated.interpolation,
        mean=stated.mean,
        std=stated.std,
        output="pooled",
        dim=1,
        licence="unknown: given by the user",
        source="timm",
        notes=f"Read from timm {timm.__version__}. A model of natural images has no physical scale: any is accepted.",
    )
    known = outline(draft)
    return draft.model_copy(update={"dim": known.width, "parameters": known.parameters})


def _timm_config(name: str, model: str) -> PretrainedCfg:
    """What timm states of a model, refused where a card cannot say it."""
    import timm

    if not timm.is_model(model):
        close = _close(model, timm.list_models())
        raise UnknownEncoderError.not_in_timm(name, timm.__version__, [_TIMM + c for c in close])
    try:
        stated = timm.get_pretrained_cfg(model)
    except RuntimeError as error:  # the architecture exists, the tag behind the dot does not
        tagged = timm.list_models(f"{model.partition('.')[0]}.*", pretrained=True)
        close = _close(model, tagged) or tagged
        raise UnknownEncoderError.not_in_timm(name, timm.__version__, [_TIMM + c for c in close]) from error
    if stated is None:
        raise CardError.unreadable(name, "timm does not state how its images are prepared")
    if stated.input_size[0] != 3 or stated.input_size[1] != stated.input_size[2]:
        raise CardError.invalid(name, "`input_size`", stated.input_size, "three channels and a square")
    if stated.interpolation not in ("bilinear", "bicubic"):
        raise CardError.invalid(name, "`interpolation`", stated.interpolation, "bilinear or bicubic")
    return stated
