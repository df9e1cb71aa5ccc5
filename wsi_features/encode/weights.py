"""Weights from a local file: read without running code from it, and checked before use.

Nothing is downloaded, no file is trusted for its name, and nothing is loaded loosely:
every parameter of the network is found in the file, with its shape and finite values,
or the file is refused.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import reprlib
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_features.encode.checkpoint import Checkpoint, opened, renamed
from wsi_features.errors import WeightsError

if TYPE_CHECKING:
    import torch

    State = dict[str, torch.Tensor]

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
# What torch.load raises on damaged files: its unpickler runs over arbitrary bytes.
_DAMAGED = (
    *(pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, TypeError),
    *(LookupError, AttributeError, AssertionError, ArithmeticError, struct.error),
)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checked_sha256(name: str, path: Path, wanted: str | None = None) -> str:
    """The file's SHA-256, compared with `wanted` where that is known.

    `name` is the encoder's, for messages. Raises WeightsError.
    """
    if not path.is_file():
        raise WeightsError.no_file(name, str(path))
    try:
        found = sha256_of(path)
    except OSError as error:
        raise WeightsError.unreadable(name, str(path), str(error)) from error
    if wanted not in (None, found):
        raise WeightsError.differs(name, f"the SHA-256 of {str(path)!r}", found, wanted)
    return found


def load_state(
    name: str, path: Path, *, wanted_sha256: str | None = None, rules: Checkpoint | None = None
) -> tuple[State, str]:
    """The tensors of a weights file by the network's keys, on the CPU, floats as float32, and the file's SHA-256.

    Takes safetensors, or a `torch.save`d state dict, bare, as the only entry `state_dict`
    or `model` of a dict, or where the card's `rules` say. `name` is the encoder's, for messages.
    Raises WeightsError.
    """
    found = checked_sha256(name, path, wanted_sha256)
    return _plain_tensors(name, path, _tensors(name, path, rules or Checkpoint())), found


def mapped_state(name: str, path: Path, rules: Checkpoint) -> State:
    """The tensors of a weights file as `load_state` checks them, but of their own type and where they lie in the file.

    To look at, not to keep: a large model takes hardly any memory, and a file that is rewritten changes them.
    Raises WeightsError.
    """
    state = _tensors(name, path, rules, mapped=True)
    for key, tensor in state.items():
        _check_finite(name, path, key, tensor)
    return state


def check_state(name: str, path: Path, state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Refuse a state that is not exactly `wanted`: keys, shapes, and no quantised weights. Raises WeightsError."""
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or unexpected:
        raise WeightsError.keys_differ(name, str(path), missing, unexpected)
    for key, tensor in wanted.items():
        if state[key].shape != tensor.shape:
            raise WeightsError.differs(name, f"the shape of {key!r}", tuple(state[key].shape), tuple(tensor.shape))
        if state[key].is_floating_point() != tensor.is_floating_point():
            raise WeightsError.differs(name, f"the type of {key!r}", state[key].dtype, tensor.dtype)


def _tensors(name: str, path: Path, rules: Checkpoint, *, mapped: bool = False) -> State:
    """The file's tensors by the network's keys, in a dict of their own."""
    import torch

    content = opened(name, path, _content(name, path, mapped=mapped), rules)
    if not isinstance(content, dict) or not content:
        raise WeightsError.unreadable(name, str(path), f"it holds {reprlib.repr(content)}, not tensors by name")
    content = renamed(name, path, content, rules)  # lets go of the file's own, so that tensors may go one by one
    for key, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise WeightsError.unreadable(name, str(path), f"entry {key!r} is a {type(value).__name__}, not a tensor")
        if not isinstance(key, str) or value.layout is not torch.strided or value.device.type != "cpu":
            raise WeightsError.unreadable(name, str(path), f"entry {key!r} is not a dense, named tensor with data")
    return content


def _content(name: str, path: Path, *, mapped: bool) -> Any:
    """What the file holds, told apart by its first bytes."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with path.open("rb") as file:
        head = file.read(9)
    try:
        if head[8:] == b"{":  # safetensors: the length of the header in 8 bytes, then the header, which is JSON
            return load_file(path)
        if head.startswith((_ZIP, _PICKLE)):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and head.startswith(_ZIP))
    except (SafetensorError, *_DAMAGED) as error:
        raise WeightsError.unreadable(name, str(path), _why(error)) from error
    raise WeightsError.unreadable(name, str(path), f"it starts with {head!r}")


def _why(error: Exception) -> str:
    """The first sentence of the reason; of torch's advice to load unsafely, only what the file asked for."""
    if isinstance(error, pickle.UnpicklingError):
        asked = re.search(r"GLOBAL (\S+)", str(error))
        return f"it would import {asked[1]}" if asked else "it holds something else than tensors, or is damaged"
    lines = str(error).split(". ")[0].splitlines()
    return lines[0] if lines else type(error).__name__


def _plain_tensors(name: str, path: Path, content: State) -> State:
    """The content as finite float32 tensors in memory of their own.

    safetensors gives views of the mapped file: without a copy, a file rewritten during a
    run would change the weights (seen). Replaced one by one, so that two copies of a
    large model never stand side by side.
    """
    import torch

    for key, value in content.items():
        dtype = torch.float32 if value.is_floating_point() else value.dtype
        content[key] = value.detach().to(dtype, copy=True)
        _check_finite(name, path, key, content[key])
    return content


def _check_finite(name: str, path: Path, key: str, tensor: torch.Tensor) -> None:
    """By its extremes: 70 times as fast as looking at each, and NaN is both."""
    import torch

    if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
        raise WeightsError.not_finite(name, str(path), key)


def without_classifier(state: State, wanted: Collection[str], classifier: Collection[str]) -> State:
    """The state less the weight and bias of the classifier layers that the network was built without."""
    cut = {f"{layer}.{part}" for layer in classifier for part in ("weight", "bias")} - set(wanted)
    return {key: tensor for key, tensor in state.items() if key not in cut}
