"""Networks of torchvision, without their classification layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.construct import chosen, constructed
from wsi_features.encode.outline import outline
from wsi_features.encode.registry import close
from wsi_features.errors import CardError, UnknownEncoderError

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "torchvision:"
_RESERVED = ("weights", "weights_backbone", "progress", "num_classes")
_HEADS = ("fc", "classifier", "head", "heads")


def made(card: EncoderCard, device: str) -> nn.Module:
    """The card's network on `device`, with `Identity` for its last linear layer. Raises CardError."""
    from torchvision import models

    model, arguments = chosen(card, models.list_models(module=models), "torchvision")
    if card.output != "pooled":
        raise CardError.invalid(card.name, "output", card.output, "pooled")
    for key in sorted(arguments.keys() & _RESERVED):
        raise CardError.invalid(card.name, f"arguments.{key}", arguments[key], "nothing, the builder sets it")
    network = constructed(card, device, "torchvision", lambda: models.get_model(model, weights=None, **arguments))
    return _without_head(card, network)


def named_card(name: str) -> EncoderCard:
    """The card of `torchvision:MODEL`, from what torchvision states of its newest weights of that model."""
    import torchvision
    from torchvision import models

    model, library = name.removeprefix(_PREFIX), f"torchvision {torchvision.__version__}"
    known = models.list_models(module=models)
    if model not in known:
        raise UnknownEncoderError.not_in_library(name, library, [_PREFIX + found for found in close(model, known)])
    stated = models.get_model_weights(model).DEFAULT.transforms()
    side = stated.crop_size[0]
    draft = EncoderCard(
        name=name,
        builder="torchvision",
        arguments={"model": model} | ({"image_size": side} if model.startswith("vit_") else {}),
        tile_px=side,
        tile_mpp=0.5,
        mpp_range=(0.1, 10.0),
        input_px=side,
        interpolation=stated.interpolation.value,
        mean=stated.mean,
        std=stated.std,
        output="pooled",
        dim=1,
        licence="unknown: given by the user",
        source="torchvision",
        notes=f"Read from {library}. A model of natural images has no physical scale: any is accepted. The whole "
        "tile is seen, resized where needed; torchvision itself cuts out the middle.",
    )
    found = outline(draft)
    return draft.model_copy(update={"dim": found.width, "parameters": found.parameters})


def _without_head(card: EncoderCard, network: nn.Module) -> nn.Module:
    """The network with its last linear layer taken out, and that layer's name where loading looks for it."""
    from torch import nn

    path = _last_linear(network)
    if path is None:
        wanted = "a network that ends in a linear layer"
        raise CardError.invalid(card.name, "arguments.model", card.arguments["model"], wanted)
    home, _, leaf = path.rpartition(".")
    setattr(network.get_submodule(home), leaf, nn.Identity())
    network.pretrained_cfg = {"classifier": path}  # type: ignore[assignment]  # as timm's networks have it
    return network


def _last_linear(network: nn.Module) -> str | None:
    from torch import nn

    for head in _HEADS:
        if not hasattr(network, head):
            continue
        found = [
            name for name, layer in network.get_submodule(head).named_modules(prefix=head) if type(layer) is nn.Linear
        ]
        last = list(network.get_submodule(head).named_modules(prefix=head))[-1][0]
        return found[-1] if found and found[-1] == last else None
    return None
