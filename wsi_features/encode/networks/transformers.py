"""Vision towers of transformers: the configuration comes from the card, never from a hub.

transformers takes any argument of a configuration, also a misspelled one; here an argument
that the configuration does not have is refused. Names of parameters are those of the installed
version, which change now and then: the cards' key changes are for the versions that the
project pins, and another version fails the strict load instead of leaving weights out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsi_features.encode.card import TOKEN_OUTPUTS, EncoderCard
from wsi_features.encode.networks.construct import chosen, constructed
from wsi_features.errors import CardError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class _Tower:
    """A class of transformers: its configuration, and which of its outputs is the feature."""

    config: str
    output: str
    options: tuple[tuple[str, bool], ...] = ()

    @property
    def gives_tokens(self) -> bool:
        return self.output == "last_hidden_state"


_TOWERS = {
    "CLIPVisionModelWithProjection": _Tower("CLIPVisionConfig", "image_embeds"),
    "DINOv3ViTModel": _Tower("DINOv3ViTConfig", "last_hidden_state"),
    "Dinov2Model": _Tower("Dinov2Config", "last_hidden_state"),
    "Dinov2WithRegistersModel": _Tower("Dinov2WithRegistersConfig", "last_hidden_state"),
    "SiglipVisionModel": _Tower("SiglipVisionConfig", "pooler_output"),
    "ViTModel": _Tower("ViTConfig", "last_hidden_state", (("add_pooling_layer", False),)),
}


def made(card: EncoderCard, device: str) -> nn.Module:
    """The card's network on `device`. Raises CardError."""
    import transformers
    from huggingface_hub.errors import StrictDataclassError

    model, arguments = chosen(card, _TOWERS, "transformers")
    tower = _TOWERS[model]
    if tower.gives_tokens != (card.output in TOKEN_OUTPUTS):
        wanted = "cls, mean, cls+mean or tokens" if tower.gives_tokens else "pooled, projected or projected+normalised"
        raise CardError.invalid(card.name, "output", card.output, f"{wanted}, for {model}")
    kind = getattr(transformers, tower.config)
    for key in sorted(arguments.keys() - vars(kind()).keys()):
        raise CardError.invalid(card.name, f"arguments.{key}", arguments[key], f"a field of {tower.config}")
    network = constructed(
        card,
        device,
        "transformers",
        lambda: getattr(transformers, model)(kind(**arguments), **dict(tower.options)),
        also=(StrictDataclassError,),
    )
    network.register_forward_hook(_picked(tower.output))
    if tower.gives_tokens:
        network.num_prefix_tokens = 1 + getattr(network.config, "num_register_tokens", 0)  # type: ignore[assignment]  # an attribute of our own
    return network


def _picked(output: str) -> Any:
    """A hook that leaves one output of all that a network of transformers returns."""

    def pick(network: nn.Module, given: Any, out: Any) -> Any:  # noqa: ARG001 - what torch calls a hook with
        return getattr(out, output)

    return pick
