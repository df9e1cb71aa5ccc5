from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.outline import check_outline, feature_rows, outline
from wsi_features.errors import WeightsError

TinyCard = Callable[..., EncoderCard]


@pytest.mark.parametrize(
    ("output", "width"), [("cls", 24), ("mean", 24), ("cls+mean", 48), ("pooled", 24), ("tokens", 96)]
)
def test_the_output_recipe_decides_the_width(tiny_card: TinyCard, output: str, width: int) -> None:
    assert outline(tiny_card(output=output, dim=width)).width == width


@pytest.mark.parametrize("pool", ["avg", "token"])
def test_a_pooled_output_is_what_the_network_pools(tiny_card: TinyCard, pool: str) -> None:
    given = tiny_card({"global_pool": pool}, output="pooled", dim=24, prefix_tokens=0)
    check_outline(given, outline(given))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parameters": 9}, r"the parameter count is \d+, the card says 9"),
        ({"prefix_tokens": 1}, "the number of prefix tokens is 5, the card says 1"),
        ({"dim": 24}, "the output dimension is 48, the card says 24"),
    ],
)
def test_a_network_that_is_not_the_card_s_is_refused(tiny_card: TinyCard, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(WeightsError, match=told):
        check_outline(tiny_card(**changes), outline(tiny_card(**changes)))


def test_the_stated_parameter_count_is_accepted(tiny_card: TinyCard) -> None:
    found = outline(tiny_card())
    check_outline(tiny_card(parameters=found.parameters), found)


def tokens(prefix: int = 5, patches: int = 6, width: int = 3) -> torch.Tensor:
    return torch.randn(2, prefix + patches, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("output", ["cls", "mean", "cls+mean"])
def test_register_tokens_have_no_part_in_the_features(tiny_card: TinyCard, output: str) -> None:
    given, before = tiny_card(output=output), tokens()
    changed = before.clone()
    changed[:, 1:5] += 9
    assert torch.equal(feature_rows(given, before), feature_rows(given, changed))


@pytest.mark.parametrize(("output", "token"), [("cls", 0), ("mean", 5), ("mean", 10), ("cls+mean", 0), ("cls+mean", 5)])
def test_every_other_token_has_its_part(tiny_card: TinyCard, output: str, token: int) -> None:
    given, before = tiny_card(output=output), tokens()
    changed = before.clone()
    changed[:, token] += 9
    assert not torch.equal(feature_rows(given, before), feature_rows(given, changed))


def test_the_class_token_stands_before_the_mean_of_the_patches(tiny_card: TinyCard) -> None:
    given = tokens()
    expected = torch.cat([given[:, 0], given[:, 5:].mean(1)], dim=1)
    torch.testing.assert_close(feature_rows(tiny_card(), given), expected)


def test_the_mean_of_half_precision_tokens_is_taken_in_float32(tiny_card: TinyCard) -> None:
    large = torch.full((1, 5 + 300, 3), 60000, dtype=torch.float16)
    rows = feature_rows(tiny_card(output="mean"), large)
    assert rows.dtype == torch.float32
    assert rows.tolist() == [[60000] * 3]


def test_dense_tokens_are_the_patches_row_by_row_without_class_token_and_registers(tiny_card: TinyCard) -> None:
    rows = feature_rows(tiny_card(output="tokens", dim=18), tokens())
    assert rows.shape == (2, 18)
    assert torch.equal(rows.reshape(2, 6, 3), tokens()[:, 5:])


@pytest.mark.parametrize("output", ["pooled", "projected"])
def test_rows_that_the_network_made_itself_are_taken_as_they_are(tiny_card: TinyCard, output: str) -> None:
    rows = tokens()[:, 0]
    assert torch.equal(feature_rows(tiny_card(output=output), rows), rows)


def test_normalised_projections_have_length_one(tiny_card: TinyCard) -> None:
    rows = tokens()[:, 0].to(torch.float16)
    found = feature_rows(tiny_card(output="projected+normalised"), rows)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(found * rows.float().norm(dim=1, keepdim=True), rows.float())
