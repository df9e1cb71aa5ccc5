"""All formats by the names that the command line has for them."""

from __future__ import annotations

from importlib.util import find_spec

from wsi_features.cohort.exports.clam import CLAM
from wsi_features.cohort.exports.eva import EVA
from wsi_features.cohort.exports.patho_bench import PATHO_BENCH
from wsi_features.cohort.exports.plain import CSV, NPY, PT, SAFETENSORS
from wsi_features.cohort.exports.slideflow import SLIDEFLOW
from wsi_features.cohort.exports.stamp import STAMP
from wsi_features.cohort.exports.target import Format
from wsi_features.cohort.exports.trident import TRIDENT
from wsi_features.errors import ExportError

FORMATS: dict[str, Format] = {
    "clam": CLAM,
    "trident": TRIDENT,
    "patho-bench": PATHO_BENCH,
    "stamp": STAMP,
    "eva": EVA,
    "slideflow": SLIDEFLOW,
    "pt": PT,
    "npy": NPY,
    "safetensors": SAFETENSORS,
    "csv": CSV,
}

_NEEDS: dict[str, dict[str, str]] = {}
"""Libraries that only one format needs, and how each is installed."""


def require_library(name: str) -> None:
    """Raises ExportError where a library is missing that only the format `name` needs."""
    for library, command in _NEEDS.get(name, {}).items():
        if find_spec(library) is None:
            raise ExportError.no_library(name, library, command)
