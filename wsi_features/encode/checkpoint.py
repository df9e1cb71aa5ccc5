"""From the keys of a published weights file to those of the network: a few rules, stated on the card.

Published files wrap the same tensors in different ways: in training checkpoints, behind
prefixes, under other names. A card says how its file is meant, and nothing is tried out:
the result must fit the network exactly (`weights.check_state`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from wsi_features.errors import WeightsError
from wsi_features.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    State = dict[str, torch.Tensor]

_WRAPPERS = ("state_dict", "model")
_CONVERTERS = {
    "conch_v15": "wsi_features.encode.networks.own.conch_v15",
    "dinov2": "wsi_features.encode.networks.dinov2",
    "timm": "wsi_features.encode.networks.timm",
}
"""Modules whose `converted(name, state, network)` gives the network's own state."""


class Checkpoint(Recipe):
    """How a published file becomes the network's state dict; the steps run in the order of the fields."""

    historical: ClassVar[dict[str, Any]] = {
        "unwrap": [],
        "keep": "",
        "strip": [],
        "drop": [],
        "rename": [],
        "convert": None,
    }

    unwrap: tuple[str, ...] = Field((), description="Entries to descend into, in order")
    keep: str = Field("", description="Only keys with this prefix are taken, and it is taken off")
    strip: tuple[str, ...] = Field((), description="Prefixes taken off in order, of the keys that have them")
    drop: tuple[str, ...] = Field((), description="Patterns (* and ?) of keys that the encoder does not use")
    rename: tuple[tuple[str, str], ...] = Field((), description="Regular expression and replacement, in order")
    convert: Literal["conch_v15", "dinov2", "timm"] | None = Field(
        None, description="Last: a rule for tensors, not only for keys"
    )

    @field_validator("rename")
    @classmethod
    def _expressions(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for expression, _ in pairs:
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(f"{expression!r} is no regular expression ({error})") from error
        return pairs


def opened(name: str, path: Path, content: Any, rules: Checkpoint) -> Any:
    """The entry of `content` that `rules` ask for, with every usual wrapper that stands alone taken off.

    `name` is the encoder's and `path` the file's, for messages. Raises WeightsError.
    """
    for entry in rules.unwrap:
        inside = content if isinstance(content, dict) and entry in content else _unwrapped(content)
        if not isinstance(inside, dict) or entry not in inside:
            held = sorted(map(str, inside)) if isinstance(inside, dict) else [type(inside).__name__]
            raise WeightsError.no_entry(name, str(path), entry, held)
        content = inside[entry]
    return _unwrapped(content)


def renamed(name: str, path: Path, content: Mapping[Any, Any], rules: Checkpoint) -> dict[Any, Any]:
    """`content` by the network's keys, less what the encoder does not use. Raises WeightsError.

    Two keys may not become one: which of them counts would depend on the order in the file.
    """
    found: dict[Any, Any] = {}
    for key, value in content.items():
        new = _new_key(key, rules) if isinstance(key, str) else key
        if new is None:
            continue
        if new in found:
            raise WeightsError.clash(name, str(path), new)
        found[new] = value
    return found


def converted(name: str, state: State, network: nn.Module, rules: Checkpoint) -> State:
    """The state after the card's converter, if it names one. Raises WeightsError."""
    if rules.convert is None:
        return state
    converter: Callable[[str, State, nn.Module], State] = import_module(_CONVERTERS[rules.convert]).converted
    return converter(name, state, network)


def _new_key(key: str, rules: Checkpoint) -> str | None:
    """What `key` becomes; None where it is left out."""
    if not key.startswith(rules.keep):
        return None
    key = key.removeprefix(rules.keep)
    for prefix in rules.strip:
        key = key.removeprefix(prefix)
    if any(fnmatchcase(key, pattern) for pattern in rules.drop):
        return None
    for expression, replacement in rules.rename:
        key = re.sub(expression, replacement, key)
    return key


def _unwrapped(content: Any) -> Any:
    """`content` without the usual wrappers around all of it."""
    inner = content
    while isinstance(inner, dict) and len(inner) == 1:
        ((key, value),) = inner.items()
        if key not in _WRAPPERS or not isinstance(value, dict):
            break
        inner = value
    return inner
