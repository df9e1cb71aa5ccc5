"""Image towers of open_clip, without the text tower beside them.

A card names a model of open_clip, or states `embed_dim` and `vision` itself where open_clip's own
configuration would fetch a text tower from a hub. `vision` changes single fields, and `quick_gelu`
says which GELU the weights were trained with: no weights file can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.construct import chosen, constructed
from wsi_features.encode.outline import outline
from wsi_features.encode.registry import close
from wsi_features.errors import CardError, UnknownEncoderError

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "open_clip:"
_OUTPUTS = ("projected", "projected+normalised")
_KEYS = {"embed_dim", "quick_gelu", "vision"}
_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}  # made with the tower and let go


def made(card: EncoderCard, device: str) -> nn.Module:
    """The card's image tower on `device`. Raises CardError."""
    if card.output not in _OUTPUTS:
        raise CardError.invalid(card.name, "output", card.output, " or ".join(_OUTPUTS))
    return constructed(card, device, "open_clip", lambda: _tower(_configuration(card)))


def named_card(name: str) -> EncoderCard:
    """The card of `open_clip:MODEL`, or of `open_clip:MODEL/TAG` with what open_clip states of those weights."""
    import open_clip

    model, _, tag = name.removeprefix(_PREFIX).partition("/")
    if model not in open_clip.list_models():
        meant = [_PREFIX + found for found in close(model, open_clip.list_models())]
        raise UnknownEncoderError.not_in_library(name, f"open_clip {open_clip.__version__}", meant)
    stated = _stated(name, model, tag)
    side = open_clip.get_model_config(model)["vision_cfg"].get("image_size", 224)
    draft = EncoderCard(
        name=name,
        builder="open_clip",
        arguments={"model": model} | ({"quick_gelu": True} if stated.get("quick_gelu") else {}),
        checkpoint={"keep": "visual."},
        tile_px=side,
        tile_mpp=0.5,
        mpp_range=(0.1, 10.0),
        input_px=side,
        interpolation=stated.get("interpolation", "bicubic"),
        mean=stated.get("mean", open_clip.OPENAI_DATASET_MEAN),
        std=stated.get("std", open_clip.OPENAI_DATASET_STD),
        output="projected",
        dim=1,
        licence="unknown: given by the user",
        source="open_clip",
        notes=f"Read from open_clip {open_clip.__version__}. A model of natural images has no physical scale: any is "
        "accepted. The whole tile is seen, resized where needed; open_clip itself may cut out the middle.",
    )
    known = outline(draft)
    return draft.model_copy(update={"dim": known.width, "parameters": known.parameters})


def _stated(name: str, model: str, tag: str) -> dict[str, Any]:
    """What open_clip states of the weights of a tag; nothing without a tag."""
    import open_clip

    if not tag:
        return {}
    tags = open_clip.list_pretrained_tags_by_model(model)
    if tag not in tags:
        meant = [f"{_PREFIX}{model}/{found}" for found in close(tag, tags) or tags]
        raise UnknownEncoderError.not_in_library(name, f"open_clip {open_clip.__version__}", meant)
    return dict(open_clip.get_pretrained_cfg(model, tag))


def _configuration(card: EncoderCard) -> dict[str, Any]:
    """`embed_dim`, `vision_cfg` and `quick_gelu` of the card. Raises CardError."""
    import open_clip

    stated: dict[str, Any] = {"embed_dim": None, "vision_cfg": {}, "quick_gelu": False}
    arguments = dict(card.arguments)
    if "model" in arguments:
        model, arguments = chosen(card, open_clip.list_models(), f"open_clip {open_clip.__version__}")
        stated |= open_clip.get_model_config(model)
    for key in sorted(arguments.keys() - _KEYS):
        raise CardError.invalid(
            card.name, f"arguments.{key}", arguments[key], f"one of model, {', '.join(sorted(_KEYS))}"
        )
    # CoCa returns its tokens beside the row; no tower may fetch weights.
    fixed = {"output_tokens": False, "timm_model_pretrained": False}
    return {
        "embed_dim": arguments.get("embed_dim", stated["embed_dim"]),
        "vision_cfg": stated["vision_cfg"] | arguments.get("vision", {}) | fixed,
        "quick_gelu": arguments.get("quick_gelu", stated["quick_gelu"]),
    }


def _tower(configuration: dict[str, Any]) -> nn.Module:
    import open_clip

    tower: nn.Module = open_clip.CustomTextCLIP(text_cfg=dict(_TEXT), **configuration).visual
    return tower
