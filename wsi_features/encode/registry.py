"""Encoder cards by name: those that ship, a user's own file, and any model of some libraries.

A file is named after its model. Where outputs differ it has `variants`, each of which is an
encoder of its own, `MODEL:VARIANT`, and the model's name alone is none. Cards are read when
they are asked for. Only `timm:NAME` and its like import a library; listing names imports none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from wsi_features.encode.card import AbsentCard, EncoderCard
from wsi_features.encode.networks import named_builder
from wsi_features.errors import CardError, UnknownEncoderError
from wsi_features.resources import share

Card = EncoderCard | AbsentCard

LIBRARIES = ("timm", "open_clip", "torchvision")
"""What stands before the colon of `timm:MODEL` and its like, where the whole name is the encoder's."""

_FILE = re.compile(r"(?P<path>.+\.yaml)(:(?P<variant>[^:/]+))?")


def cards() -> list[Card]:
    """All shipped cards by name, every variant, and those of encoders that cannot be built here."""
    found = [card for path in _shipped().values() for card in cards_of(path)]
    return sorted(found, key=lambda card: card.name)


def card_names() -> list[str]:
    """Names of the shipped encoders that can be built here, sorted."""
    return [card.name for card in cards() if isinstance(card, EncoderCard)]


def card_named(name: str) -> EncoderCard:
    """The card of a shipped name, of a user's card file (`path/to/card.yaml`), or of `timm:MODEL` and its like.

    A variant of a user's file is `path/to/card.yaml:VARIANT`. Raises UnknownEncoderError, CardError
    and, for an encoder that cannot be built here, EncoderError with what it would take.
    """
    key, _, _ = name.partition(":")
    if key in LIBRARIES:
        return named_builder(key).named_card(name)
    file = _FILE.fullmatch(name)
    if file is not None:
        found = cards_of(Path(file["path"]))
        path = file["path"]
        return _chosen(
            name, {f"{path}:{card.name.partition(':')[2]}" if len(found) > 1 else path: card for card in found}
        )
    shipped = _shipped()
    if key not in shipped:
        raise _unknown(name)
    return _chosen(name, {card.name: card for card in cards_of(shipped[key])})


def cards_of(path: Path) -> list[Card]:
    """The cards in one file: one, or one for each of its variants. Raises CardError."""
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CardError.unreadable(str(path), " ".join(str(error).split())) from error
    if not isinstance(fields, dict):
        raise CardError.unreadable(str(path), f"it holds a {type(fields).__name__}, not a mapping")
    if "variants" not in fields:
        return [_validated(path, fields)]
    variants = fields.pop("variants")
    if not isinstance(variants, dict) or not variants or not all(isinstance(v, dict) for v in variants.values()):
        raise CardError.invalid(str(path), "`variants`", variants, "a mapping from each variant's name to its fields")
    return [_validated(path, fields | own | {"name": f"{fields.get('name')}:{v}"}) for v, own in variants.items()]


def _shipped() -> dict[str, Path]:
    """The shipped card files by their model's name."""
    return {path.stem: path for path in share("resources", "encoders").glob("*.yaml")}


def _chosen(name: str, found: dict[str, Card]) -> EncoderCard:
    """The card called `name` among those of one file."""
    card = found.get(name) or next(iter(found.values()))
    if isinstance(card, AbsentCard):  # then all variants are
        raise card.refusal()
    if name in found:
        return card
    if ":" in name:
        raise UnknownEncoderError.misspelled(name, list(found))
    raise UnknownEncoderError.several(name, list(found))


def _unknown(name: str) -> UnknownEncoderError:
    meant = close(name, [card.name for card in cards()])
    return UnknownEncoderError.misspelled(name, meant) if meant else UnknownEncoderError.named(name)


def close(name: str, known: Iterable[str]) -> list[str]:
    """What `name` was probably meant to be: names that it begins, then similar ones, whatever the case."""
    lower = {k.lower(): k for k in known}
    begun = [k for k in lower if name and k.startswith(name.lower())]
    similar = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
    return [lower[k] for k in dict.fromkeys([*begun, *similar])][:3]


def _validated(path: Path, fields: dict[str, Any]) -> Card:
    kind = AbsentCard if fields.get("builder") == "none" else EncoderCard
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise _card_error(str(path), kind, error) from error


def _card_error(path: str, kind: type[Card], error: ValidationError) -> CardError:
    """The first of pydantic's complaints."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return CardError.missing(path, where)
    if first["type"] == "extra_forbidden":
        return CardError.unknown_field(path, where, list(kind.model_fields))
    if not where:  # a check of several fields together; its text names them and their values
        return CardError.unreadable(path, first["msg"])
    return CardError.invalid(path, f"`{where}`", first["input"], first["msg"])
