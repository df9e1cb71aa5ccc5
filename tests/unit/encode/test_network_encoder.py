from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import v2

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.device.fixed import TOLERANCE
from wsi_features.encode.network_encoder import NetworkEncoder, build_network
from wsi_features.encode.outline import outline
from wsi_features.errors import WeightsError
from wsi_features.stain.target import MacenkoNumbers
from wsi_features.stain.transform import StainMatrix
from wsi_features.tiles.grid import TileBatch

MEAN, STD = [0.7, 0.5, 0.6], [0.2, 0.25, 0.3]

Card = Callable[..., EncoderCard]
Built = Callable[..., NetworkEncoder]


@pytest.fixture(scope="module")
def card(tiny_card: Card) -> Card:
    """The tiny card, with a normalisation that tells the channels apart."""
    return partial(tiny_card, mean=MEAN, std=STD)


def batch(count: int = 5, size: int = 48, seed: int = 1) -> TileBatch:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return TileBatch(pixels, np.arange(count), np.ones(count, np.bool_))


@pytest.fixture
def built_from(card: Card) -> Built:
    """Builds the tiny encoder, or the one given, from a weights file."""

    def built(path: Path, given: EncoderCard | None = None, precision: Any = "fp32") -> NetworkEncoder:
        return build_network(given or card(), path, precision=precision, device="cpu", workers=2)

    return built


@pytest.fixture
def encoder(built_from: Built, tiny_weights: Path) -> Iterator[NetworkEncoder]:
    built = built_from(tiny_weights)
    yield built
    built.close()


@pytest.fixture
def macenko() -> StainMatrix:
    """A transform that moves every colour."""
    source = MacenkoNumbers(stains=((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)), max_concentration=(1.9, 1.0))
    target = MacenkoNumbers(stains=((0.56, 0.72, 0.41), (0.22, 0.80, 0.56)), max_concentration=(1.5, 1.4))
    return StainMatrix(source=source, target=target)


def plain_tokens(network: torch.nn.Module, pixels: np.ndarray) -> torch.Tensor:
    image = torch.stack(
        [v2.functional.to_image(Image.fromarray(tile).resize((32, 32), Image.BILINEAR)) for tile in pixels]
    )
    assert isinstance(network, timm.models.VisionTransformer)
    return network.forward_features(v2.functional.normalize(image.float() / 255, MEAN, STD))


def test_features_are_those_of_the_plain_network(tiny_network: torch.nn.Module, encoder: NetworkEncoder) -> None:
    tokens = plain_tokens(tiny_network, batch().pixels)
    expected = torch.cat([tokens[:, 0], tokens[:, 5:].mean(1)], dim=1).numpy()
    rows = encoder.submit(batch()).rows()
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).mean() > 0.01  # the tiles are told apart


@pytest.mark.parametrize(("output", "tokens"), [("cls", slice(0, 1)), ("mean", slice(5, None))])
def test_each_recipe_takes_its_tokens(
    built_from: Built, card: Card, tiny_network: torch.nn.Module, tiny_weights: Path, output: str, tokens: slice
) -> None:
    expected = plain_tokens(tiny_network, batch().pixels)[:, tokens].mean(1).numpy()
    built = built_from(tiny_weights, card(output=output, dim=24))
    np.testing.assert_allclose(built.submit(batch()).rows(), expected, atol=1e-4)
    built.close()


def test_a_pickled_state_dict_gives_the_same_bytes_as_safetensors(
    built_from: Built, tiny_network: torch.nn.Module, encoder: NetworkEncoder, tmp_path: Path
) -> None:
    torch.save({"state_dict": tiny_network.state_dict()}, tmp_path / "tiny.pt")
    other = built_from(tmp_path / "tiny.pt")
    assert other.submit(batch()).rows().tobytes() == encoder.submit(batch()).rows().tobytes()
    assert other.weights_digest != encoder.weights_digest
    other.close()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_stays_close_to_fp32_and_is_not_fp32(
    built_from: Built, tiny_weights: Path, encoder: NetworkEncoder, precision: str
) -> None:
    half = built_from(tiny_weights, precision=precision)
    rows, exact = half.submit(batch()).rows(), encoder.submit(batch()).rows()
    cosine = (rows * exact).sum(1) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(exact, axis=1))
    assert cosine.min() > 0.999
    assert not np.array_equal(rows, exact)
    assert rows.dtype == np.float32
    assert half.precision == precision
    half.close()


def test_fp16_is_finer_than_bf16(built_from: Built, tiny_weights: Path, encoder: NetworkEncoder) -> None:
    exact = encoder.submit(batch()).rows()
    errors = []
    for precision in ("fp16", "bf16"):
        half = built_from(tiny_weights, precision=precision)
        errors.append(np.abs(half.submit(batch()).rows() - exact).max())
        half.close()
    assert errors[0] < errors[1] / 2


def test_a_stain_transform_is_applied_before_the_resize_and_the_network(
    encoder: NetworkEncoder, macenko: StainMatrix
) -> None:
    normalised = replace(batch(), pixels=macenko.apply(batch().pixels))
    found = encoder.submit(batch(), macenko).rows()
    assert np.array_equal(found, encoder.submit(normalised).rows())
    assert not np.allclose(found, encoder.submit(batch()).rows(), atol=1e-3)


def test_networks_built_side_by_side_in_threads_are_the_same(built_from: Built, tiny_weights: Path) -> None:
    with ThreadPoolExecutor(4) as executor:
        built = list(executor.map(lambda _: built_from(tiny_weights), range(4)))
    found = {one.submit(batch()).rows().tobytes() for one in built}
    for one in built:
        one.close()
    assert len(found) == 1


def test_slow_arithmetic_is_noted(built_from: Built, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_features.encode.device.arithmetic.has_bf16_units", lambda: False)
    built = built_from(tiny_weights, precision="bf16")
    assert built.notes == ("this CPU has no bf16 units, so bf16 is no faster than fp32 on it",)
    built.close()


def test_the_card_s_precision_is_used_unless_another_is_given(card: Card, tiny_weights: Path) -> None:
    given = card(precision="bf16")
    expected: list[tuple[Precision | None, Precision]] = [(None, "bf16"), ("fp32", "fp32")]
    for asked, used in expected:
        built = build(given, weights=tiny_weights, precision=asked, device="cpu")
        assert built.precision == used
        built.close()


@pytest.mark.parametrize("workers", [1, 3, 5])
def test_the_number_of_threads_leaves_the_bytes_alone(
    card: Card, tiny_weights: Path, encoder: NetworkEncoder, workers: int
) -> None:
    other = build_network(card(), tiny_weights, precision="fp32", device="cpu", workers=workers)
    assert other.submit(batch(13)).rows().tobytes() == encoder.submit(batch(13)).rows().tobytes()
    other.close()


def test_a_closed_encoder_leaves_torch_s_own_threads_as_they_were(built_from: Built, tiny_weights: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    built = built_from(tiny_weights)
    built.submit(batch()).rows()
    built.close()
    with ThreadPoolExecutor(1) as executor:
        started_later = executor.submit(torch.get_num_threads).result()
    torch.set_num_threads(before)
    assert started_later == 3


def test_a_tile_s_features_do_not_depend_on_its_neighbours(encoder: NetworkEncoder) -> None:
    together = encoder.submit(batch()).rows()
    alone = encoder.submit(TileBatch(batch().pixels[3:4], np.arange(1), np.ones(1, np.bool_))).rows()
    np.testing.assert_allclose(together[3:4], alone, atol=1e-5)


def test_pixels_that_cannot_be_written_or_lie_apart_are_taken(encoder: NetworkEncoder) -> None:
    pixels = batch(10).pixels[::2]
    expected = encoder.submit(TileBatch(pixels.copy(), np.arange(5), np.ones(5, np.bool_))).rows()
    pixels.flags.writeable = False
    assert np.array_equal(encoder.submit(TileBatch(pixels, np.arange(5), np.ones(5, np.bool_))).rows(), expected)


def test_a_published_file_with_its_classifier_is_taken_without_it(
    built_from: Built, tiny_network: torch.nn.Module, encoder: NetworkEncoder, tmp_path: Path
) -> None:
    head = {"head.weight": torch.ones(10, 24), "head.bias": torch.ones(10)}
    save_file(tiny_network.state_dict() | head, tmp_path / "w.safetensors")
    built = built_from(tmp_path / "w.safetensors")
    assert np.array_equal(built.submit(batch()).rows(), encoder.submit(batch()).rows())
    built.close()


def without_a_block(state: dict[str, Any]) -> None:
    del state["blocks.1.mlp.fc1.bias"]


def with_a_block_more(state: dict[str, Any]) -> None:
    state["blocks.2.mlp.fc1.bias"] = torch.ones(3)


def with_a_transposed_layer(state: dict[str, Any]) -> None:
    state["blocks.0.mlp.fc1.weight"] = state["blocks.0.mlp.fc1.weight"].T.contiguous()


def with_a_nan(state: dict[str, Any]) -> None:
    state["norm.bias"] = torch.full((24,), torch.nan)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_a_block, r"1 missing \(first: blocks.1.mlp.fc1.bias\)"),
        (with_a_block_more, r"1 unexpected \(first: blocks.2.mlp.fc1.bias\)"),
        (with_a_transposed_layer, r"the shape of 'blocks.0.mlp.fc1.weight' is \(24, 96\), the card says \(96, 24\)"),
        (with_a_nan, "NaN or infinity in 'norm.bias'"),
    ],
)
def test_weights_that_are_not_the_card_s_model_are_refused(
    built_from: Built, tiny_network: torch.nn.Module, tmp_path: Path, change: Any, told: str
) -> None:
    state = dict(tiny_network.state_dict())
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=f"encoder 'tiny': .*{told}"):
        built_from(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "changes", [{"parameters": 12}, {"weights_sha256": "0" * 64}, {"dim": 24}, {"prefix_tokens": 1}]
)
def test_a_card_that_states_something_else_is_refused(
    built_from: Built, card: Card, tiny_weights: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(WeightsError, match="the card says"):
        built_from(tiny_weights, card(**changes))


@pytest.mark.parametrize(
    ("model", "px"),
    [("test_resnet", 96), ("efficientvit_m0", 224), ("convit_tiny", 224), ("eva02_tiny_patch14_224", 224)],
)
def test_networks_of_other_kinds_give_the_features_of_timm(
    built_from: Built, card: Card, model: str, px: int, tmp_path: Path
) -> None:
    """Running statistics, tables kept from the first image, plain tensors, unsaved buffers."""
    torch.manual_seed(4)
    plain = timm.create_model(model, num_classes=0).eval()
    for name, tensor in plain.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if name.endswith("running_var") else tensor.normal_(std=0.4)
    torch.save(plain.state_dict(), tmp_path / "w.pt")
    given = card(output="pooled", input_px=px).model_copy(update={"arguments": {"model": model}})
    built = built_from(tmp_path / "w.pt", given.model_copy(update={"dim": outline(given).width}))
    tiles = batch(3, size=px)
    image = v2.functional.normalize(torch.from_numpy(tiles.pixels).permute(0, 3, 1, 2).float() / 255, MEAN, STD)
    with torch.inference_mode():
        expected = plain(image).numpy()
    np.testing.assert_allclose(built.submit(tiles).rows(), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    built.close()


def test_closing_lets_go_of_the_network_and_takes_no_more_batches(built_from: Built, tiny_weights: Path) -> None:
    built = built_from(tiny_weights)
    built.submit(batch()).rows()
    network = weakref.ref(built._stage._work.network)  # type: ignore[attr-defined]
    built.close()
    gc.collect()
    assert network() is None
    with pytest.raises(RuntimeError):
        built.submit(batch())
    built.close()


def with_random_weights(model: str, **arguments: Any) -> torch.nn.Module:
    torch.manual_seed(8)
    network: torch.nn.Module = timm.create_model(model, num_classes=0, **arguments).eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.0) if tensor.ndim == 1 else tensor.normal_(std=0.05)
    return network.requires_grad_(requires_grad=False)


NETWORKS = {
    "vit": partial(with_random_weights, "vit_small_patch16_224", img_size=64, depth=2),
    "gated vit with registers": partial(
        with_random_weights, "vit_giant_patch14_reg4_dinov2", img_size=56, depth=2, embed_dim=96, num_heads=4
    ),
    "resnet": partial(with_random_weights, "test_resnet"),
}


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def images(network: torch.nn.Module) -> torch.Tensor:
    px = getattr(getattr(network, "patch_embed", None), "img_size", (96, 96))[0]
    return torch.randn(3, 3, px, px, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_memory_layout_of_a_network_leaves_its_features_alone(kind: str) -> None:
    network = NETWORKS[kind]()
    given = images(network)
    expected = network(given)
    other = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert apart(other(given.contiguous(memory_format=torch.channels_last)), expected) < 1e-5


@pytest.mark.full
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_network_gives_the_features_of_the_plain_one(kind: str) -> None:
    network = NETWORKS[kind]()
    given = images(network)
    compiled = torch.compile(network, dynamic=False)
    assert apart(compiled(given), network(given)) < TOLERANCE["fp32"]
