"""Networks on torch's meta device, whose tensors hold no numbers: no time goes into initial ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_FILLS = {
    *(torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.erfinv_, torch.Tensor.clamp_),
    *(torch.Tensor.mul_, torch.Tensor.add_, torch.Tensor.zero_, torch.Tensor.fill_),
}
"""What timm sets initial numbers with, in place; those of torch's own layers take no time on meta."""


class _Blank(TorchFunctionMode):
    """Leaves out what would fill a meta tensor, as it changes nothing there; in Python it takes half of the time."""

    def __torch_function__(
        self, function: Callable[..., Any], _types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function in _FILLS and args[0].is_meta and not any(isinstance(arg, torch.Tensor) for arg in args[1:]):
            return args[0]
        return function(*args, **(kwargs or {}))


@contextmanager
def placed(device: str) -> Iterator[None]:
    """Tensors made inside lie on `device`; on `meta` none is given initial numbers."""
    with ExitStack() as stack:
        if device == "meta":
            stack.enter_context(_Blank())
        stack.enter_context(torch.device(device))
        yield
