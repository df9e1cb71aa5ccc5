"""Which device computes, what it can do, and how many threads read beside it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wsi_features.errors import EncoderError

if TYPE_CHECKING:
    import torch

_CPU_FLAGS = Path("/proc/cpuinfo")
_DEVICE_NODES = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))
"""Of NVIDIA's driver on Linux and under WSL, and of AMD's."""
_FILLERS = 4  # threads that put tiles into page-locked memory: each copies some 10,000 tiles a second


def choose_device(wanted: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:1` as a device that is really there; `auto` prefers CUDA.

    Raises EncoderError when CUDA is asked for and absent.
    """
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    match = re.fullmatch(r"auto|cuda(?::(\d+))?", wanted)
    if match is None:
        raise EncoderError.unknown_device(wanted)
    index, present = int(match[1] or 0), torch.cuda.device_count()
    if index >= present:
        raise EncoderError.no_device(wanted, present)
    return torch.device("cuda", index)


def present_gpus() -> list[tuple[str, str]]:
    """The GPUs that this process sees: the name that torch gives each, and one that all processes of a machine share."""
    import torch

    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [(f"cuda:{i}", str(getattr(gpu, "uuid", "") or f"{gpu.name}-{i}")) for i, gpu in enumerate(found)]


def may_compute_elsewhere(wanted: str, nodes: Sequence[Path] = _DEVICE_NODES) -> bool:
    """Whether `choose_device(wanted)` may be another device than the CPU; where no driver has a node, it cannot be."""
    return wanted not in {"cpu", "auto"} or (wanted == "auto" and any(node.exists() for node in nodes))


def has_bf16_units(flags: Path = _CPU_FLAGS) -> bool:
    """Whether the CPU multiplies bf16 numbers by itself: AVX512_BF16, AMX or the BF16 extension of Arm."""
    try:
        text = flags.read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^(flags|Features)\s*:.*\b(avx512_bf16|amx_bf16|bf16)\b", text, re.MULTILINE) is not None


def cpu_split(
    cores: int, builder: Literal["network", "histo-texture"], device: Literal["cpu", "cuda"] = "cpu"
) -> tuple[int, int]:
    """Threads that read the slide, and threads or processes that compute, on `cores` cores.

    Measured on one core: reading takes 1 to 5 ms a tile, the smallest vision transformer 45
    in bf16, histo-texture 3. Readers that are ahead sleep, so the computing side has every core.
    """
    if device == "cuda":
        return cores, min(cores, _FILLERS)
    share = 8 if builder == "network" else 2
    return min(cores, max(2, math.ceil(cores / share))), cores
