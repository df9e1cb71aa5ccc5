"""Other thresholds for a finished output: keep marks made anew, and what the columns of its stores hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wsi_features.cohort.keep import write_keep_marks
from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.config import config_from
from wsi_features.recipe import Json
from wsi_features.store import FeatureStore, find_stores
from wsi_features.tiles.quality import limits_from

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """Values at `QUANTILES` of one column over all valid tiles of a feature set; `missing` tiles have none."""

    name: str
    values: tuple[float, ...]
    missing: int


def thresholds_of(texts: Sequence[str], *, suggested: bool) -> Json:
    """Thresholds written like `pen_share<=0.1`, over the suggested ones where these are asked for. Raises ConfigError."""
    values = {"quality": {"preset": "suggested" if suggested else "none", "thresholds": limits_from(texts)}}
    return config_from(values, "of the command line").quality.thresholds_json()


def filtered(out: Outputs, limits: Json, name: str) -> Iterator[tuple[str, Json]]:
    """Write keep marks of every store below `out`; gives each feature set with the counts of all its slides together.

    Raises OutputError, StoreError, and ThresholdError where a store lacks a column.
    """
    for feature_set, stores in stores_by_set(out).items():
        found = [write_keep_marks(out, store, limits, name) for store in stores]
        reasons = {reason: sum(one["reasons"][reason] for one in found) for reason in found[0]["reasons"]}
        counts = {key: sum(one[key] for one in found) for key in ("tiles", "kept")}
        yield feature_set, {"folder": found[0]["folder"], "slides": len(found), "reasons": reasons} | counts


def column_ranges(stores: Sequence[FeatureStore]) -> list[ColumnRange]:
    """What the columns of these stores hold, in the order of the first store's."""
    found = []
    for name in stores[0].columns:
        values = np.concatenate([store.columns[name][store.valid] for store in stores if name in store.columns])
        known = values[~np.isnan(values)]
        at = tuple(float(v) for v in np.quantile(known, QUANTILES)) if len(known) else ()
        found.append(ColumnRange(name, at, len(values) - len(known)))
    return found


def stores_by_set(out: Outputs) -> dict[str, list[FeatureStore]]:
    """The stores of the slides of the manifest, by feature set. Raises OutputError, and StoreError for one that is not complete."""
    manifest, _ = manifest_of_output(out.root)
    ids = {row.slide_id for row in manifest}
    found: dict[str, list[FeatureStore]] = {}
    for path in find_stores(out.features):
        if path.stem in ids:
            found.setdefault(path.parent.name, []).append(FeatureStore.open(path))
    return found
