"""Stores of every released format version still open, with the numbers they were made with.

The stores under `data/v<version>` are never rewritten: a new version adds a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, Provenance

V1 = Path(__file__).parent / "data" / "v1"
V2 = Path(__file__).parent / "data" / "v2"


def test_v1_with_an_invalid_tile() -> None:
    store = FeatureStore.open(V1 / "tiny.zarr")
    store.check()
    assert (store.status, len(store), store.dim, str(store.features.dtype)) == ("ok", 7, 3, "float16")
    assert store.features[6].tolist() == [6.0, 6.125, 6.25]
    assert np.isnan(store.features[5]).all()
    assert store.valid.tolist() == [True, True, True, True, True, False, True]
    assert store.coords.tolist() == [[0, 0], [500, 0], [1000, 0], [1500, 0], [2000, 0], [0, 500], [500, 500]]
    assert store.grid[4:].tolist() == [[4, 0], [0, 1], [1, 1]]
    assert store.columns["tissue"].tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]
    assert store.attributes["bad_tiles"] == [[5, 0, 500, "missing 5"]]


def test_v1_provenance() -> None:
    made = FeatureStore.open(V1 / "tiny.zarr").provenance
    assert (made.format_version, made.slide_id, made.fingerprint) == (1, "tiny", "ab" * 32)
    assert (made.mpp_native, made.mpp_source, made.mpp_asked, made.mpp_effective) == (0.25, "aperio.MPP", 0.5, 0.5)
    assert (made.tile_px, made.span, made.step, made.slide_size, made.bounds) == (256, 512, 500, (2512, 1012), "drop")
    assert (made.level, made.level_downsample, made.resize) == (1, 2.0, 1.0)
    assert made.encoder == {"name": "tiny", "mpp_range": [0.4, 0.6], "dim": 3}
    assert (made.precision, made.device, made.weights_sha256, made.licence) == ("fp16", "cpu", "", "Apache-2.0")
    assert made.slide_properties == {"openslide.objective-power": "40"}


def test_v1_in_single_precision() -> None:
    store = FeatureStore.open(V1 / "single.zarr")
    store.check()
    assert (str(store.features.dtype), store.features.shape) == ("float32", (6, 2))
    assert store.features[5].tolist() == [5.0, 5.125]


def test_v1_of_an_empty_slide() -> None:
    store = FeatureStore.open(V1 / "empty.zarr")
    store.check()
    assert (store.status, store.features[:].shape, list(store.columns)) == ("empty", (0, 3), ["tissue", "blur"])


@pytest.mark.parametrize(
    ("name", "n", "dim", "dtype", "bad"),
    [("tiny", 7, 3, "float16", [5]), ("single", 6, 2, "float32", []), ("empty", 0, 3, "float16", [])],
)
def test_the_writer_still_writes_the_same_chunks(
    tmp_path: Path, samples: Any, name: str, n: int, dim: int, dtype: str, bad: list[int]
) -> None:
    content = samples.content(n, dim, dtype, slide_id=name)
    made, kept = samples.tree(samples.write(tmp_path, content, bad=bad)), samples.tree(V1 / f"{name}.zarr")
    assert made.keys() == kept.keys()
    assert all(made[path] == kept[path] for path in kept if "/c/" in path)


def test_v2_of_imported_features_that_know_little() -> None:
    store = FeatureStore.open(V2 / "imported.zarr")
    store.check()
    made = store.provenance
    assert (made.format_version, store.record.version, made.span, made.encoder_name) == (2, 2, 508, "uni_v1")
    assert made.imported == {"tool": "trident", "sha256": ["ab" * 32], "said": {"patch_size": 256}}
    assert store.columns["list_row"].tolist() == [2, 0, 1]
    assert store.features[2].tolist() == [2.0, 2.125]
    assert (made.bounds, made.knows("mpp_native")) == (None, False)


def test_v2_provenance_survives_json_and_is_shown_without_what_it_lacks() -> None:
    made = FeatureStore.open(V2 / "imported.zarr").provenance
    assert Provenance.of_attributes(made.to_attributes()) == made
    assert "span=508" in repr(made)
    with pytest.raises(StoreError, match="slide 'imported': .* from trident, whose file does not say `stain`"):
        _ = made.stain


def test_v2_refuses_a_run_that_says_too_little(samples: Any) -> None:
    fields = samples.provenance(7).model_dump() | {"mpp_native": None}
    with pytest.raises(ValueError, match="`mpp_native` is required of features that were not imported"):
        Provenance(**fields)


def test_imported_features_are_never_written_as_version_1(samples: Any) -> None:
    with pytest.raises(ValueError, match="format version 1: imported features have 2"):
        samples.provenance(7, imported={"tool": "trident"})
