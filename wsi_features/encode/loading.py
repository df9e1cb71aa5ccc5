"""A card and a weights file to a network that holds them, strictly."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.checkpoint import converted
from wsi_features.encode.networks import is_program, network_builder, program_builder
from wsi_features.encode.outline import check_outline, outline, outline_of
from wsi_features.encode.weights import check_state, checked_sha256, load_state, mapped_state, without_classifier

if TYPE_CHECKING:
    import torch
    from torch import nn

    from wsi_features.encode.checkpoint import State


def loaded_network(card: EncoderCard, weights: Path, device: torch.device) -> tuple[nn.Module, str]:
    """The card's network with the weights of the file, on `device`, and the file's SHA-256.

    Parameter count, prefix tokens and width are compared with the card before the file is read.
    Raises CardError and WeightsError.
    """
    if is_program(card.builder):
        digest = checked_sha256(card.name, weights, card.weights_sha256)
        program = program_builder(card.builder).loaded(card, weights, device)
        check_outline(card, outline_of(card, program, device))
        return program, digest
    network = empty_network(card)
    digest = _filled(card, network, weights)
    return network.to(device), digest


def check_file(card: EncoderCard, weights: Path) -> None:
    """Refuse a weights file that is not the card's network: its keys, shapes, types and finite values.

    The file is read where it lies and no network is filled, so that a model of a billion parameters takes
    hardly any memory. A finished program is passed: only running it would tell. Raises CardError and WeightsError.
    """
    if not is_program(card.builder):
        network = empty_network(card)
        _fitting(card, network, weights, mapped_state(card.name, weights, card.checkpoint))


def empty_network(card: EncoderCard) -> nn.Module:
    """The card's network without weights, found to be as the card says: without storage where they fill it all."""
    known = outline(card)
    check_outline(card, known)
    return network_builder(card.builder).made(card, "meta" if known.filled_by_weights else "cpu")


def _filled(card: EncoderCard, network: nn.Module, weights: Path) -> str:
    """Give the network the tensors of the file, without a second copy of them; returns the file's SHA-256."""
    state, digest = load_state(card.name, weights, wanted_sha256=card.weights_sha256, rules=card.checkpoint)
    network.load_state_dict(_fitting(card, network, weights, state), assign=True)
    return digest


def _fitting(card: EncoderCard, network: nn.Module, weights: Path, state: State) -> State:
    """The state as it fills the network exactly. Raises WeightsError."""
    wanted = network.state_dict()
    state = converted(card.name, state, network, card.checkpoint)
    state = without_classifier(state, wanted, _classifier(network))
    check_state(card.name, weights, state, wanted)
    return state


def _classifier(network: nn.Module) -> Collection[str]:
    """Names of the classification layers, which published files hold and no encoder uses."""
    named = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)
