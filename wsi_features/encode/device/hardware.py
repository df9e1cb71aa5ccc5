"""The very hardware that computes: equal numbers to the last bit are promised on the same one only."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path
from typing import Literal

from wsi_features.encode.device.choice import choose_device

_CPU = Path("/proc/cpuinfo")


@lru_cache
def hardware(wanted: str, device: Literal["cpu", "cuda"]) -> str:
    """The models of the CPU, and of the GPU that `wanted` chooses where the `device` is one."""
    cpu = _cpu_model()
    if device == "cpu":
        return cpu
    import torch

    return f"{cpu}, {torch.cuda.get_device_name(choose_device(wanted))}"


def _cpu_model(about: Path = _CPU) -> str:
    try:
        text = about.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|CPU part)\s*:\s*(.+)$", text, re.MULTILINE)
    return f"{platform.machine()} {found[1].strip() if found else platform.processor()}".strip()
