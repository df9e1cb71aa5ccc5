"""The matrix products of a transformer on a CPU, with weights laid out once as the product wants them.

torch's own layers hand their weights to the product as they lie: measured on AVX-512 (ViT-S),
that costs a tenth of the time in fp32. The layout is oneDNN's, which torch's compiler uses too; here it is tried first, and
where it does not give the numbers of a plain layer, the network stays as it is.

Precision: operands and results of the products are rounded to it, sums are fp32, as tensor cores do.
bf16 is computed in bf16 where the CPU can. All else is computed in fp32 from rounded numbers, which
gives the same features: torch's own fp16 on a CPU is five times slower than fp32 (measured).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

_NONE, _GELU = "none", "gelu"
_AGREE = {"float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-3}  # of values around 1


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """x W' + b, then perhaps GELU. `rounded` is the precision of operands and result, `computed` of the arithmetic."""

    run: Callable[..., torch.Tensor]
    weight: torch.Tensor
    bias: torch.Tensor | None
    after: str
    rounded: torch.dtype
    computed: torch.dtype

    @classmethod
    def of(cls, layer: nn.Linear, after: str, rounded: torch.dtype, computed: torch.dtype) -> Product:
        """What `layer` computes."""
        import torch

        weight = layer.weight.detach().to(rounded).to(computed)
        bias = None if layer.bias is None else layer.bias.detach().to(rounded).to(computed)
        laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, None)  # noqa: SLF001 - there is no public name
        run = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - there is no public name
        return cls(run, laid_out, bias, after, rounded, computed)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(..., n) to (..., m), in `computed`."""
        out = self.run(x.to(self.rounded).to(self.computed), self.weight, self.bias, self.after, [], "none")
        return out.to(self.rounded).to(self.computed)


def pack(network: nn.Module, rounded: torch.dtype, computed: torch.dtype) -> int:
    """Replace the products of the transformer layers in `network`; returns how many there are.

    Only layers known to call their products plainly are touched: others use the weights themselves.
    The plain weights are let go, so no memory is needed twice.
    """
    if not _can_pack(rounded, computed):
        return 0
    packed = 0
    for module in network.modules():
        for layer, after in _linear_layers(module):
            layer.forward = Product.of(layer, after, rounded, computed)  # type: ignore[method-assign, assignment]  # a module calls what stands there
            layer.register_parameter("weight", None)
            layer.register_parameter("bias", None)
            packed += 1
    return packed


def plain_attention(network: nn.Module) -> None:
    """Let attention be two products and a softmax: in bf16 on a CPU 7 ms a tile (ViT-S), and 12 by torch's fused kernel."""
    from timm.layers.attention import Attention

    for module in network.modules():
        if type(module) is Attention:
            module.fused_attn = False  # type: ignore[misc]  # final for TorchScript only


def _linear_layers(module: nn.Module) -> Iterator[tuple[nn.Linear, str]]:
    """The linear layers of one layer of timm, with what is computed after each; a GELU that moves there is taken out."""
    from timm.layers.attention import Attention
    from timm.layers.mlp import GluMlp, Mlp, SwiGLU
    from torch import nn

    known = {
        Attention: ("qkv", "proj"),
        Mlp: ("fc1", "fc2"),
        GluMlp: ("fc1", "fc2"),
        SwiGLU: ("fc1_g", "fc1_x", "fc2"),
    }
    for name in known.get(type(module), ()):
        layer = getattr(module, name)
        if type(layer) is nn.Linear:
            moves = name == "fc1" and type(module) is Mlp and _is_exact_gelu(module.act)
            if moves:
                module.act = nn.Identity()
            yield layer, _GELU if moves else _NONE


def _is_exact_gelu(act: object) -> bool:
    from torch import nn

    return type(act) is nn.GELU and act.approximate == "none"


def _can_pack(rounded: torch.dtype, computed: torch.dtype) -> bool:
    """Whether oneDNN's layout works here: tried on a small layer, since torch promises nothing about it."""
    import torch
    from torch import nn

    if platform.machine() not in ("x86_64", "AMD64") or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return False
    random = torch.Generator().manual_seed(1)
    layer = nn.Linear(24, 40).requires_grad_(requires_grad=False)
    layer.weight.normal_(std=0.2, generator=random)
    layer.bias.normal_(generator=random)
    x = torch.randn(3, 5, 24, generator=random)
    wanted = nn.functional.gelu(layer(x))
    try:
        found = Product.of(layer, _GELU, rounded, computed)(x)
    except (AttributeError, RuntimeError):  # no such operator, or none for this processor
        return False
    return float((found - wanted).abs().max()) <= _AGREE[str(rounded).removeprefix("torch.")] * float(wanted.max())
