"""Reading: cheap to open, lazy features, small arrays that nobody can alter."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, find_stores, is_complete


def test_a_store_says_what_it_is(store: Path, samples: Any) -> None:
    opened = FeatureStore.open(str(store))
    assert (opened.path, opened.status, opened.dim, len(opened)) == (store, "ok", 3, 7)
    assert opened.fingerprint == samples.fingerprint
    assert opened.provenance == samples.provenance(7)
    assert opened.attributes["bad_tiles"] == [[5, 0, 500, "missing 5"]]


def test_an_empty_store_is_read_like_any_other(tmp_path: Path, samples: Any) -> None:
    opened = FeatureStore.open(samples.write(tmp_path, samples.content(0)))
    assert (opened.status, len(opened), opened.features[:].shape) == ("empty", 0, (0, 3))
    assert [len(a) for a in (opened.coords, opened.grid, opened.valid, opened.columns["blur"])] == [0, 0, 0, 0]


def test_positions_are_x_then_y_and_grid_is_column_then_row(store: Path) -> None:
    opened = FeatureStore.open(store)
    assert opened.coords[4].tolist() == [2000, 0]
    assert opened.coords[5].tolist() == [0, 500]
    assert opened.grid[6].tolist() == [1, 1]


def test_columns_come_by_name_in_the_stored_order(store: Path) -> None:
    columns = FeatureStore.open(store).columns
    assert list(columns) == ["tissue", "blur"]
    assert columns["blur"].tolist() == [0, -1, -2, -3, -4, -5, -6]


@pytest.mark.parametrize("key", [0, -1, slice(2, 5), np.array([6, 0, 3]), (slice(None), 1), ..., slice(None, None, 2)])
def test_features_are_indexed_like_numpy(store: Path, samples: Any, key: Any) -> None:
    wanted = samples.features(7).astype(np.float16)
    wanted[5] = np.nan
    found = FeatureStore.open(store).features[key]
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, wanted[key], equal_nan=True)


@pytest.mark.usefixtures("small_chunks")
def test_reading_some_rows_touches_only_their_chunks(tmp_path: Path, samples: Any) -> None:
    opened = FeatureStore.open(samples.write(tmp_path, samples.content(11)))
    (opened.path / "features/c/0/0").write_bytes(b"damaged")
    assert opened.features[4:8].tolist() == samples.features(11)[4:8].tolist()
    with pytest.raises(StoreError, match=r"s1\.zarr': features cannot be read"):
        opened.features[:]


def test_features_convert_to_numpy(store: Path) -> None:
    features = FeatureStore.open(store).features
    assert (features.shape, features.ndim, str(features.dtype), len(features)) == ((7, 3), 2, "float16", 7)
    assert np.asarray(features, dtype=np.float32)[6].tolist() == [6, 6.125, 6.25]
    with pytest.raises(ValueError, match="only be copied"):
        np.array(features, copy=False)


def test_a_row_beyond_the_end_is_an_index_error(store: Path) -> None:
    with pytest.raises(IndexError):
        FeatureStore.open(store).features[7]


def test_a_flipped_bit_is_found_while_reading(store: Path) -> None:
    opened = FeatureStore.open(store)
    chunk = bytearray((store / "coords/c/0/0").read_bytes())
    chunk[9] ^= 4
    (store / "coords/c/0/0").write_bytes(chunk)
    with pytest.raises(StoreError, match="coords/c/0/0 has the checksum"):
        _ = opened.coords


@pytest.mark.parametrize("name", ["coords", "grid", "valid"])
def test_small_arrays_cannot_be_altered(store: Path, name: str) -> None:
    values = getattr(FeatureStore.open(store), name)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


def test_an_open_store_travels_to_other_processes(store: Path) -> None:
    opened = FeatureStore.open(store)
    _ = opened.features[0]
    copy = pickle.loads(pickle.dumps(opened))  # noqa: S301 - made one line above
    assert copy.features[6].tolist() == opened.features[6].tolist()


def test_a_store_may_be_moved_and_renamed(store: Path, tmp_path: Path) -> None:
    moved = store.rename(tmp_path / "other.zarr")
    opened = FeatureStore.open(moved)
    opened.check()
    assert opened.provenance.slide_id == "s1"


def test_complete_means_this_fingerprint(store: Path, samples: Any) -> None:
    assert is_complete(store, samples.fingerprint)
    assert not is_complete(store, "cc" * 32)


def test_attributes_that_cannot_be_understood_are_said_so(store: Path, samples: Any) -> None:
    from wsi_features.store.commit import seal

    (store / "commit.json").unlink()
    (store / "zarr.json").write_text('{"attributes": {"slide_id": "s1"}}')
    seal(store, samples.fingerprint, 7, 3)
    with pytest.raises(StoreError, match=r"(?s)zarr\.json cannot be read .*fingerprint.*required"):
        FeatureStore.open(store)


def test_found_are_all_visible_stores_sorted_whatever_their_state(tmp_path: Path) -> None:
    for name in ("b/s2.zarr/inner.zarr", "a/s9.zarr", "b/s1.zarr", ".hidden/s3.zarr", "a/.s4.zarr.00-1-2-3", "a/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a/s5.zarr").write_text("not a store, but not ignored either")
    found = [path.relative_to(tmp_path).as_posix() for path in find_stores(tmp_path)]
    assert found == ["a/s5.zarr", "a/s9.zarr", "b/s1.zarr", "b/s2.zarr"]


def test_finding_in_no_folder_finds_nothing(tmp_path: Path) -> None:
    assert find_stores(tmp_path / "none") == []


def test_opening_loads_neither_zarr_nor_torch(store: Path) -> None:
    code = (
        "import sys; from wsi_features.store import FeatureStore; "
        f"assert len(FeatureStore.open({str(store)!r})) == 7; "
        "assert not {'zarr', 'torch'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
