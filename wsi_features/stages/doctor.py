"""What a run needs of this machine, looked at one by one."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from wsi_features.errors import WeightsStoreError
from wsi_features.resources import share

_LOWEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    ok: bool
    text: str


def findings() -> Iterator[Finding]:
    """Everything that `doctor` shows, in order. Importing torch is part of it, so it takes seconds."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("python", sys.version_info[:2] >= _LOWEST_PYTHON, f"{python} (3.11 or later is needed)")
    for subject, check in _CHECKS.items():
        yield _tried(subject, check)
    cores = len(os.sched_getaffinity(0))
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    yield Finding("machine", free > 1, f"{cores} cores, {free:.0f} GiB free in this folder")


def _tried(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, True, check())
    except WeightsStoreError as error:
        return Finding(subject, False, str(error))
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(subject, False, f"{error}. Install the project again with `make install`.")


def _openslide() -> str:
    openslide = importlib.import_module("openslide")
    return f"OpenSlide {openslide.__library_version__}, openslide-python {version('openslide-python')}"


def _opencv() -> str:
    """opencv-python loads libGL.so.1 and libglib-2.0, which a bare machine lacks."""
    try:
        return f"OpenCV {importlib.import_module('cv2').__version__}"
    except ImportError as error:
        raise ImportError(f"{error} (on Debian: apt-get install libgl1 libglib2.0-0)") from error


def _torch() -> str:
    torch = importlib.import_module("torch")
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"torch {torch.__version__}, GPUs: {', '.join(gpus) or 'none, encoders run on the CPU'}"


def _storage() -> str:
    importlib.import_module("zarr")
    return f"zarr {version('zarr')}, numcodecs {version('numcodecs')}, pyarrow {version('pyarrow')}"


def _workflow() -> str:
    return f"Snakemake {version('snakemake')}"


def _resources() -> str:
    missing = [name for name in ("Snakefile", "workflow", "profiles", "resources") if not share(name).exists()]
    if missing:
        raise OSError(f"shipped files are missing: {', '.join(missing)}")
    cards, models = (len(list(share("resources", name).glob("*.yaml"))) for name in ("encoders", "segmenters"))
    return f"workflow, {cards} encoder cards and {models} tissue models found"


def _weights() -> str:
    from wsi_features.encode.weights_store import WeightsRegistry

    registry = WeightsRegistry.of_environment()
    folders = ", ".join(str(folder) for folder in registry.folders) or "no folder: set WSI_WEIGHTS"
    return f"{len(list(registry.all()))} files in {folders}"


_CHECKS: dict[str, Callable[[], str]] = {
    "openslide": _openslide,
    "opencv": _opencv,
    "torch": _torch,
    "storage": _storage,
    "snakemake": _workflow,
    "resources": _resources,
    "weights": _weights,
}
