"""Whole-slide images in, verified feature stores out.

    import wsi_features

    store = wsi_features.embed("slide.svs", out="results")
    bag = store.features[:]                       # (n, d)
    cohort = wsi_features.open("results")

Importing this package loads none of the heavy libraries; each name does when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsi_features.cohort.cohort import Cohort
    from wsi_features.config import Config
    from wsi_features.errors import SlideError, UsageError, WsiFeaturesError
    from wsi_features.stages.run import embed
    from wsi_features.store import FeatureStore

__version__ = "0.1.0"

__all__ = [
    "Cohort",
    "Config",
    "FeatureStore",
    "SlideError",
    "UsageError",
    "WsiFeaturesError",
    "__version__",
    "embed",
    "open",
]

_HOMES = {
    "Cohort": "wsi_features.cohort.cohort",
    "Config": "wsi_features.config",
    "FeatureStore": "wsi_features.store",
    "SlideError": "wsi_features.errors",
    "UsageError": "wsi_features.errors",
    "WsiFeaturesError": "wsi_features.errors",
    "embed": "wsi_features.stages.run",
}


def open(out: str, feature_set: str | None = None) -> Cohort:  # noqa: A001 - `wsi_features.open` is the call users write
    """Open the output folder of a run; the same as `Cohort.open`."""
    from wsi_features.cohort.cohort import Cohort

    return Cohort.open(out, feature_set)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
