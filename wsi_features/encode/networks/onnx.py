"""Programs of ONNX, run by ONNX Runtime, which is an extra of this package.

Checked is what `archive` checks. On a GPU a build of ONNX Runtime for CUDA is needed: an encoder
that was asked for a GPU is not quietly run beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.archive import Program, probe
from wsi_features.errors import CardError, LibraryError, ProgramError, one_line

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_EXTRA = "wsi-features[onnx]"


class _Session:
    """A session as a function of tensors."""

    def __init__(self, session: InferenceSession, entry: str, result: str) -> None:
        self._session = session
        self._entry = entry
        self._result = result

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        try:
            (out,) = self._session.run([self._result], {self._entry: images.cpu().numpy()})
        except _failures() as error:
            raise RuntimeError(one_line(error)) from error
        return torch.from_numpy(out).to(images.device)


def loaded(card: EncoderCard, path: Path, device: torch.device) -> nn.Module:
    """The program in the file, with one core for each batch, as on every CPU. Raises CardError and ProgramError.

    `arguments.output` names the output that holds the features where there are several.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise LibraryError.absent(card.name, "onnxruntime", _EXTRA) from error
    for key in sorted(card.arguments.keys() - {"output"}):
        raise CardError.invalid(card.name, f"arguments.{key}", card.arguments[key], "output, or nothing")
    provider = _PROVIDERS[device.type]
    if provider not in onnxruntime.get_available_providers():
        raise LibraryError.not_on(card.name, f"ONNX Runtime {onnxruntime.__version__}", str(device))
    session = _session(card, path, provider, device)
    program = Program(_Session(session, _only_entry(card, path, session), _result(card, session)), card.prefix_tokens)
    probe(card, path, program, device)
    return program


def _session(card: EncoderCard, path: Path, provider: str, device: torch.device) -> InferenceSession:
    """The session, from bytes: a file that refers to others would not be what its SHA-256 says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    settings: dict[str, Any] = {"device_id": device.index or 0} if device.type == "cuda" else {}
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=[(provider, settings)])
    except _failures() as error:
        raise ProgramError.unreadable(card.name, str(path), one_line(error)) from error


def _only_entry(card: EncoderCard, path: Path, session: InferenceSession) -> str:
    entries = session.get_inputs()
    if len(entries) != 1 or entries[0].type != "tensor(float)":
        found = ", ".join(f"{entry.name}: {entry.type}" for entry in entries)
        raise ProgramError.unreadable(card.name, str(path), f"its inputs are {found}, not one of float32 images")
    return str(entries[0].name)


def _result(card: EncoderCard, session: InferenceSession) -> str:
    names = [out.name for out in session.get_outputs()]
    wanted = card.arguments.get("output", names[0] if len(names) == 1 else None)
    if wanted not in names:
        raise CardError.invalid(card.name, "arguments.output", wanted, f"one of {', '.join(names)}")
    return str(wanted)


def _failures() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its exceptions have no common base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as raised

    return tuple(kind for kind in vars(raised).values() if isinstance(kind, type) and issubclass(kind, Exception))
