"""A user's own encoder: a function of theirs makes the network.

`arguments.entry` is `package.module:function`. The module is imported, which runs its code:
a card with this builder is a program of whoever wrote it. The function is called with the card,
and on torch's meta device first, as all networks are.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.construct import constructed
from wsi_features.errors import CardError, one_line

if TYPE_CHECKING:
    from torch import nn

_ENTRY = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)")


def made(card: EncoderCard, device: str) -> nn.Module:
    """What the card's entry makes, on `device`. Raises CardError."""
    from torch import nn

    function = _function(card)
    return constructed(card, device, str(card.arguments["entry"]), lambda: _checked(function(card), nn.Module))


def _checked(found: Any, kind: type[nn.Module]) -> nn.Module:
    if not isinstance(found, kind):
        raise TypeError(f"it returned a {type(found).__name__}, not a torch.nn.Module")
    return found


def _function(card: EncoderCard) -> Any:
    """The function that the card names. Raises CardError."""
    entry = card.arguments.get("entry")
    match = _ENTRY.fullmatch(entry) if isinstance(entry, str) else None
    if match is None:
        raise CardError.invalid(card.name, "arguments.entry", entry, "package.module:function")
    try:
        function = getattr(import_module(match["module"]), match["function"], None)
    except ImportError as error:
        wanted = f"a module that Python finds here ({one_line(error)}); install it, or add its folder to PYTHONPATH"
        raise CardError.invalid(card.name, "arguments.entry", entry, wanted) from error
    if not callable(function):
        raise CardError.invalid(card.name, "arguments.entry", entry, f"a function of {match['module']}")
    return function
