"""Finished programs of torch: TorchScript and exported programs (`torch.export`).

The file holds the network and its weights, so neither its architecture nor its keys can be compared
with a card. What is checked: it takes images of the card's input size, in batches of any size,
and returns finite tensors, whose form and width are then compared with the card; the parameter
count where the card states one. It computes in the arithmetic that it was saved in.

No pickle in such a file is run: torch reads TorchScript without Python, and an exported program
with parts that only Python's pickle could make, or with compiled libraries, is refused. A
program is code nevertheless, and belongs to whoever wrote it.
"""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wsi_features.encode.card import EncoderCard
from wsi_features.errors import CardError, ProgramError, one_line

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_NATIVE = "data/aotinductor/"
_OBJECTS = "data/constants/custom_obj"
# What torch raises on files that are damaged or are something else.
_DAMAGED = (
    *(RuntimeError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, EOFError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)


class Program(nn.Module):
    """A loaded program on its device; what it does is fixed, so that changing its mode or layout changes nothing."""

    def __init__(self, program: Any, prefix_tokens: int) -> None:
        super().__init__()
        self.program = program
        self.num_prefix_tokens = prefix_tokens  # as the card says: a program does not tell

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (b, 3, input_px, input_px) to what the program returns, in float32."""
        out = self.program(images)
        if not isinstance(out, torch.Tensor):
            raise TypeError(f"it returns a {type(out).__name__}, not one tensor")
        return out.float()


def loaded(card: EncoderCard, path: Path, device: torch.device) -> nn.Module:
    """The program in the file, on `device`. Raises CardError and ProgramError."""
    if card.arguments:
        raise CardError.invalid(card.name, "arguments", card.arguments, "nothing: the file is the whole program")
    read = _scripted if card.builder == "torchscript" else _exported
    try:
        program = Program(read(path, device), card.prefix_tokens)
    except _DAMAGED as error:
        raise ProgramError.unreadable(card.name, str(path), one_line(error)) from error
    probe(card, path, program, device)
    return program.requires_grad_(requires_grad=False)


def probe(card: EncoderCard, path: Path, program: nn.Module, device: torch.device) -> None:
    """Run two batches of different sizes and look at what comes out. Raises ProgramError."""
    side = card.input_px
    ramp = torch.linspace(-2, 2, side, device=device)
    for count in (1, 3):
        images = ramp.view(1, 1, side, 1).expand(count, 3, side, side).contiguous()
        try:
            with torch.inference_mode():
                out = program(images)
        except _DAMAGED as error:
            raise ProgramError.refuses(card.name, str(path), tuple(images.shape), one_line(error)) from error
        if out.ndim not in (2, 3) or len(out) != count:
            raise ProgramError.returns(card.name, str(path), tuple(out.shape), tuple(images.shape))
        if not torch.isfinite(out).all():
            raise ProgramError.returns_nan(card.name, str(path))


def _scripted(path: Path, device: torch.device) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which says to export instead; old files stay as they are
        program: nn.Module = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return program.eval()


def _exported(path: Path, device: torch.device) -> nn.Module:
    from torch.export import load
    from torch.export.passes import move_to_device_pass

    # The reader that torch itself uses: another one might be shown other entries.
    records = torch._C.PyTorchFileReader(str(path)).get_all_records()  # noqa: SLF001 - there is no public name
    unsafe = [name for name in records if name.startswith((_NATIVE, _OBJECTS))]
    if unsafe:
        raise ValueError(f"it holds {unsafe[0]!r}, which is neither a graph nor a tensor")
    with path.open("rb") as file, _tensors_only(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given buffer is not writable")  # nor is it written
        program = load(file)
    return move_to_device_pass(program, device).module()


@contextmanager
def _tensors_only() -> Iterator[None]:
    """While this lasts, torch refuses what only Python's pickle could read: some parts it would let pickle read."""
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = before
