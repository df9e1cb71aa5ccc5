"""Networks: how each builder makes one from its card.

Most builders make an empty network, which is then filled strictly from a weights file.
Builders of finished programs load network and weights from one file. Both stand in one
table; a builder's module is imported when a card asks for it, and nothing else is.

`made` and `loaded` give a network in evaluation mode whose `forward` takes float images
(b, 3, input_px, input_px) and returns tokens (b, n, d), for the recipes in
`card.TOKEN_OUTPUTS`, or rows (b, d). A network of tokens has an attribute
`num_prefix_tokens`: how many class and register tokens stand before the patch tokens.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from wsi_features.encode.card import EncoderCard

if TYPE_CHECKING:
    import torch
    from torch import nn

_NETWORKS = {
    "timm": "wsi_features.encode.networks.timm",
    "transformers": "wsi_features.encode.networks.transformers",
    "open_clip": "wsi_features.encode.networks.open_clip",
    "torchvision": "wsi_features.encode.networks.torchvision",
    "own": "wsi_features.encode.networks.own",
    "python": "wsi_features.encode.networks.python",
}
_PROGRAMS = {
    "torchscript": "wsi_features.encode.networks.archive",
    "exported": "wsi_features.encode.networks.archive",
    "onnx": "wsi_features.encode.networks.onnx",
}
_LIBRARIES = {
    "transformers": ("transformers",),
    "open_clip": ("open_clip_torch", "timm"),
    "torchvision": ("torchvision",),
    "timm": ("timm",),
    "own": ("timm", "torchvision", "transformers"),
    "onnx": ("onnxruntime",),
}


class NetworkBuilder(Protocol):
    """A module that makes networks without weights."""

    def made(self, card: EncoderCard, device: str) -> nn.Module:
        """The card's network on `device`, `meta` or `cpu`, with a state dict of exactly what a checkpoint must fill.

        Raises CardError. On `meta` a RuntimeError may pass: some networks cannot be made without numbers.
        """


class ProgramBuilder(Protocol):
    """A module that loads finished programs."""

    def loaded(self, card: EncoderCard, path: Path, device: torch.device) -> nn.Module:
        """The program in the file, on `device`. Raises CardError and WeightsError."""


class NamedBuilder(Protocol):
    """A module that makes a card of any model of its library."""

    def named_card(self, name: str) -> EncoderCard:
        """The card of `LIBRARY:MODEL`, from what the library states. Raises UnknownEncoderError and CardError."""


def network_builder(builder: str) -> NetworkBuilder:
    """The builder of networks of that name."""
    return cast("NetworkBuilder", import_module(_NETWORKS[builder]))


def is_program(builder: str) -> bool:
    """Whether a builder loads finished programs, which compute in the arithmetic that they were saved in."""
    return builder in _PROGRAMS


def program_builder(builder: str) -> ProgramBuilder:
    """The builder of finished programs of that name."""
    return cast("ProgramBuilder", import_module(_PROGRAMS[builder]))


def named_builder(builder: str) -> NamedBuilder:
    """The builder of that name, as a maker of cards."""
    return cast("NamedBuilder", import_module(_NETWORKS[builder]))


def libraries(builder: str) -> tuple[str, ...]:
    """Names of the installed distributions whose versions may show in the features of a builder."""
    return () if builder == "histo-texture" else ("torch", *_LIBRARIES.get(builder, ()))
