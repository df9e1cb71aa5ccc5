"""What a network says of a bag is the same in training and in blocks, and adds up from its tiles."""

from typing import Any

import numpy as np
import pytest
import torch

from wsi_features import mil
from wsi_features.mil.training.evaluation import network_of, outputs_of, segment_values
from wsi_features.mil.training.fitting import numbers_of
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.networks.pooling import BagNetwork

MODELS = ("abmil", "mean", "max", "linear")
DIM, OUTPUTS = 7, 3


def network(model: Any) -> BagNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        found = BagNetwork(mil.TrainingRecipe(model=model, hidden=11, attention=5), DIM, OUTPUTS).eval()
        found.mean.normal_()
        found.deviation.uniform_(0.5, 2)
    return found


def bag(tiles: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((tiles, DIM), generator=torch.Generator().manual_seed(seed)) * 2 + 1


@pytest.mark.parametrize("model", MODELS)
def test_blocks_of_a_bag_say_what_the_whole_says(model: str) -> None:
    one, other = bag(13), bag(6, 1)
    with torch.no_grad():
        whole = network(model)(torch.cat([one, other]), [13, 6], [1, 1])
    for k, tiles in enumerate((one, other)):
        values = segment_values([network(model)], torch.split(tiles.half(), 4))[0]
        exact = segment_values([network(model)], [tiles])[0]
        np.testing.assert_allclose(exact.pooled, whole[k].detach().numpy(), atol=1e-5)
        np.testing.assert_allclose(values.pooled, exact.pooled, atol=0.02)


@pytest.mark.parametrize("model", MODELS)
def test_a_tiles_score_is_what_a_bag_of_it_alone_would_get(model: str) -> None:
    tiles = bag(9)
    values = segment_values([network(model)], [tiles])[0]
    for k in (0, 8):
        np.testing.assert_allclose(
            values.scores[k], segment_values([network(model)], [tiles[k : k + 1]])[0].pooled, atol=1e-5
        )


@pytest.mark.parametrize("model", MODELS)
def test_attention_sums_to_one_and_adds_the_scores_up(model: str) -> None:
    values = segment_values([network(model)], torch.split(bag(17), 5))[0]
    assert values.attention.sum() == pytest.approx(1)
    if model != "max":
        np.testing.assert_allclose(values.attention @ values.scores, values.pooled, atol=1e-9)


def test_under_max_the_tiles_that_are_highest_have_the_attention() -> None:
    tiles = bag(12)
    with torch.no_grad():
        winners = network("max").tiles(tiles).argmax(0)
    found = segment_values([network("max")], torch.split(tiles, 5))[0].attention
    np.testing.assert_allclose(found, np.bincount(winners.numpy(), minlength=12) / 11)


@pytest.mark.parametrize("model", MODELS)
def test_features_are_standardised_within_the_first_layer(model: str) -> None:
    folded, plain = network(model), network(model)
    plain.mean.zero_()
    plain.deviation.fill_(1)
    tiles = bag(8)
    with torch.no_grad():
        wanted = plain((tiles - folded.mean) / folded.deviation, [8], [1])
        torch.testing.assert_close(folded(tiles, [8], [1]), wanted, atol=1e-5, rtol=1e-5)


def test_slides_that_are_fused_late_count_the_same_whatever_their_size() -> None:
    tiles, of = bag(20), network("abmil")
    with torch.no_grad():
        each = of(tiles, [3, 10, 7], [1, 1, 1])
        fused = of(tiles, [3, 10, 7], [2, 1])
    torch.testing.assert_close(fused, torch.stack([each[:2].mean(0), each[2]]))


@pytest.mark.parametrize("late", [True, False])
def test_bags_of_two_slides_are_evaluated_as_they_are_fused(fused: dict[bool, mil.BagDataset], late: bool) -> None:
    of, bags = network("abmil"), HeldBags.of(fused[late])
    item: Any = fused[late][4]
    parts = [torch.from_numpy(one.features).float() for one in (item if late else [item])]
    with torch.no_grad():
        logits = of(torch.cat(parts), [len(part) for part in parts], [len(parts)])
    model = network_of(numbers_of(of), mil.TrainingRecipe(hidden=11, attention=5), torch.device("cpu"))
    found = outputs_of("classification", [model], bags, [4])
    np.testing.assert_allclose(found, torch.softmax(logits, 1).numpy(), atol=1e-5)


def test_attention_is_gated_as_it_is_written_down() -> None:
    of, tiles = network("abmil"), bag(6)
    with torch.no_grad():
        vectors = of.tiles(tiles).numpy()
    numbers = {name: value.detach().numpy() for name, value in of.state_dict().items()}
    value, gate = np.split(vectors @ numbers["attend.weight"].T + numbers["attend.bias"], 2, axis=1)
    looks = (np.tanh(value) / (1 + np.exp(-gate))) @ numbers["weigh.weight"][0]
    wanted = np.exp(looks) / np.exp(looks).sum()
    np.testing.assert_allclose(segment_values([of], [tiles])[0].attention, wanted, atol=1e-6)
