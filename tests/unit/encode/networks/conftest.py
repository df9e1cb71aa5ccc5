"""What the tests of builders share: cards of small networks, filled networks, files, and what comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.loading import loaded_network
from wsi_features.encode.outline import feature_rows
from wsi_features.encode.registry import card_named


@pytest.fixture(scope="session")
def cut_card() -> Callable[..., EncoderCard]:
    """The shipped card of `name` for a smaller network: `arguments` change its own, other keywords are fields."""

    def cut(name: str, arguments: dict[str, Any] | None = None, **changes: Any) -> EncoderCard:
        card = card_named(name)
        smaller = {"arguments": card.arguments | (arguments or {}), "parameters": None, "weights_sha256": None}
        return EncoderCard.model_validate(card.model_dump() | smaller | changes)

    return cut


@pytest.fixture(scope="session")
def random_weights() -> Callable[[torch.nn.Module], torch.nn.Module]:
    """Fills a network in place with numbers large enough that every layer matters."""

    def fill(network: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif tensor.is_floating_point() and not name.endswith("periods"):
                tensor.normal_(std=1.5 * tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3, generator=generator)
        return network.eval().requires_grad_(requires_grad=False)

    return fill


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    """A `torch.save`d file of what is given."""

    def save(content: Any) -> Path:
        torch.save(content, tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return save


@pytest.fixture(scope="session")
def images() -> Callable[[int], torch.Tensor]:
    """Two images of a width, normalised already: noise, and paler noise."""
    contrast = torch.tensor([[1.0, 0.0], [0.4, 0.8]]).view(2, 2, 1, 1, 1)

    def two(side: int) -> torch.Tensor:
        noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
        return noise * contrast[:, 0] + contrast[:, 1]

    return two


@pytest.fixture(scope="session")
def rows_of(images: Callable[[int], torch.Tensor]) -> Callable[[EncoderCard, Path], torch.Tensor]:
    """The rows of `images` by the network of a card with the weights of a file."""

    def rows(card: EncoderCard, path: Path) -> torch.Tensor:
        network, _ = loaded_network(card, path, torch.device("cpu"))
        with torch.inference_mode():
            return feature_rows(card, network(images(card.input_px)))

    return rows
