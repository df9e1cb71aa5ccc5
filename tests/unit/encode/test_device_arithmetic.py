from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from timm.layers.attention import Attention
from timm.layers.mlp import GluMlp, Mlp, SwiGLU
from torch import nn

from wsi_features.encode.device.arithmetic import prepared, round_weights
from wsi_features.encode.device.choice import has_bf16_units
from wsi_features.encode.device.packed import Product, pack, plain_attention
from wsi_features.encode.notes import Notes

CPU = torch.device("cpu")
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "attention": lambda: Attention(24, num_heads=3, qkv_bias=True, qk_norm=True, norm_layer=nn.LayerNorm),
    "attention without bias": lambda: Attention(24, num_heads=3, qkv_bias=False, proj_bias=False),
    "mlp": lambda: Mlp(24, 40),
    "mlp with another activation": lambda: Mlp(24, 40, act_layer=nn.SiLU),
    "glu": lambda: GluMlp(24, 40, act_layer=nn.SiLU, gate_last=False),
    "swiglu": lambda: SwiGLU(24, 40),
}


@pytest.fixture(params=LAYERS)
def layer(request: pytest.FixtureRequest) -> nn.Module:
    """One layer of a transformer, with weights that matter."""
    torch.manual_seed(2)
    made = LAYERS[request.param]().eval().requires_grad_(requires_grad=False)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def tokens() -> torch.Tensor:
    return torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))


def test_a_packed_layer_gives_the_numbers_of_the_plain_one(layer: nn.Module) -> None:
    expected = layer(tokens())
    assert pack(layer, torch.float32, torch.float32) >= 2
    torch.testing.assert_close(layer(tokens()), expected, atol=1e-5, rtol=1e-5)
    assert not any(module.weight is not None for module in layer.modules() if type(module) is nn.Linear)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_in_fp32_arithmetic_is_as_exact_as_autocast(layer: nn.Module, half: torch.dtype) -> None:
    exact = layer(tokens())
    with torch.autocast("cpu", dtype=half):
        theirs = (layer(tokens()) - exact).abs().mean()
    pack(layer, half, torch.float32)
    ours = (layer(tokens()) - exact).abs().mean()
    assert 0 < ours <= 1.2 * theirs
    assert layer(tokens()).dtype == torch.float32


@pytest.mark.skipif(not has_bf16_units(), reason="this CPU has no bf16 units")
def test_bf16_in_bf16_arithmetic_is_as_exact_as_autocast(layer: nn.Module) -> None:
    exact = layer(tokens())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        theirs = (layer(tokens()) - exact).abs().mean()
        pack(layer, torch.bfloat16, torch.bfloat16)
        plain_attention(layer)
        ours = (layer(tokens()) - exact).abs().mean()
    assert 0 < ours <= 1.5 * theirs


def test_a_product_rounds_operands_and_result() -> None:
    linear = nn.Linear(24, 5).requires_grad_(requires_grad=False)
    found = Product.of(linear, "none", torch.float16, torch.float32)(tokens())
    weight, bias = linear.weight.half().float(), linear.bias.half().float()
    sums = nn.functional.linear(tokens().half().float(), weight, bias)
    assert torch.equal(found, found.half().float())
    torch.testing.assert_close(found, sums, atol=0, rtol=2**-10)


def test_a_result_beyond_the_range_of_fp16_is_infinite_as_on_a_gpu() -> None:
    linear = nn.Linear(24, 5).requires_grad_(requires_grad=False)
    linear.weight.fill_(100)
    found = Product.of(linear, "none", torch.float16, torch.float32)(torch.full((3, 24), 100.0))
    assert torch.isinf(found).all()


def test_a_layer_of_an_unknown_kind_is_left_alone() -> None:
    class OtherMlp(Mlp):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.fc1.weight)

    other = OtherMlp(24, 40)
    assert pack(other, torch.float32, torch.float32) == 0
    assert other(tokens()).shape == (2, 7, 40)


def test_where_the_layout_does_not_work_the_network_stays_plain(
    layer: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Product, "__call__", lambda _, x: x.sum() + torch.zeros(3, 5, 40))
    assert pack(layer, torch.float32, torch.float32) == 0
    assert all(module.weight is not None for module in layer.modules() if type(module) is nn.Linear)


def test_weights_rounded_once_give_the_bytes_of_autocast(tiny_network: nn.Module) -> None:
    image = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    rounded = deepcopy(tiny_network)
    round_weights(rounded, torch.bfloat16)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rounded(image), tiny_network(image))
    assert rounded.get_parameter("norm.weight").dtype == torch.float32


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", True),
        ("flags : fpu amx_bf16", True),
        ("Features : fp asimd bf16", True),
        ("flags : fpu avx512f avx512_vnni", False),
        ("model name : bf16\nflags : fpu", False),
    ],
)
def test_bf16_units_are_read_from_what_the_processor_states(tmp_path: Path, flags: str, found: bool) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert has_bf16_units(tmp_path / "cpuinfo") is found


def test_a_machine_that_states_nothing_has_no_bf16_units(tmp_path: Path) -> None:
    assert not has_bf16_units(tmp_path / "cpuinfo")


@pytest.mark.parametrize(("units", "autocast", "notes"), [(True, torch.bfloat16, 0), (False, None, 1)])
def test_bf16_uses_the_units_that_there_are(
    monkeypatch: pytest.MonkeyPatch, layer: nn.Module, units: bool, autocast: torch.dtype | None, notes: int
) -> None:
    monkeypatch.setattr("wsi_features.encode.device.arithmetic.has_bf16_units", lambda: units)
    noted = Notes()
    assert prepared(layer, "bf16", CPU, noted) == autocast
    assert len(noted.texts) == notes


@pytest.mark.parametrize(("precision", "autocast", "notes"), [("fp32", None, 0), ("fp16", torch.float16, 1)])
def test_a_network_without_transformer_layers_goes_torch_s_way(
    precision: str, autocast: torch.dtype | None, notes: int
) -> None:
    noted = Notes()
    found = prepared(nn.Conv2d(3, 5, 3), precision, CPU, noted)  # type: ignore[arg-type]
    assert found == autocast
    assert len(noted.texts) == notes
