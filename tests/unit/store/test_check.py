"""The full check judges the arrays themselves, also in a store whose every hash is right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, checked
from wsi_features.store.commit import seal


def resealed(store: Path, samples: Any) -> FeatureStore:
    """The store with a new, true commit record: what a defective writer would have made."""
    (store / "commit.json").unlink()
    seal(store, samples.fingerprint, 7, 3)
    return FeatureStore.open(store)


def put(name: str, row: int, value: Any) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        zarr.open_array(store / name, mode="r+")[row] = value

    return change


def attribute(name: str, value: Any) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        document = json.loads((store / "zarr.json").read_text())
        document["attributes"][name] = value
        (store / "zarr.json").write_text(json.dumps(document))

    return change


def array(name: str, values: Any) -> Callable[[Path], None]:
    def change(store: Path) -> None:
        shutil.rmtree(store / name)
        zarr.create_array(store / name, data=values)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("features", 4, [1, np.inf, 3]), "row 4 of features is not finite, wanted finite"),
        (put("features", 4, [1, np.nan, 3]), "row 4 of features is not finite"),
        (put("features", 5, [np.nan, 1, np.nan]), "row 5 of features is a number, wanted NaN"),
        (put("valid", 5, True), r"bad tiles is rows \[5\], wanted rows \[\]"),
        (put("valid", 3, False), r"bad tiles is rows \[5\], wanted rows \[3, 5\]"),
        (put("coords", 1, [0, 0]), r"order of positions is \[0, 0\] at row 1 after \[0, 0\]"),
        (put("coords", 0, [-1, 0]), r"position of row 0 is \[-1, 0\]"),
        (put("coords", 6, [500, 999]), "position of row 6 is .* wanted x from 0 to 2000, y from 0 to 500"),
        (put("grid", 2, [0, 1]), r"order of grid indices is \[3, 0\] at row 3 after \[0, 1\]"),
        (attribute("column_names", ["tissue"]), r"array columns is float32 \(7, 2\), wanted float32 \(7, 1\)"),
        (attribute("column_names", "tb"), "the list of column names is 'tb', wanted one text per column"),
        (attribute("column_names", ["a", "a"]), "wanted no name twice"),
        (attribute("bad_tiles", None), "the list of bad tiles is None"),
        (attribute("bad_tiles", [[5, 500, 0, "x"]]), "the list of bad tiles"),
        (attribute("bad_tiles", [[5, 0, 500]]), "the list of bad tiles"),
        (attribute("status", "empty"), "the status is empty, wanted ok with 7 tiles"),
        (array("features", np.zeros((7, 3))), "array features is float64"),
        (array("coords", np.zeros((7, 2), np.int64)), "array coords is int64"),
        (array("valid", np.ones((7, 1), bool)), r"array valid is bool \(7, 1\), wanted bool \(7,\)"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    store: Path, samples: Any, change: Callable[[Path], None], message: str
) -> None:
    change(store)
    with pytest.raises(StoreError, match=message):
        resealed(store, samples).check()


class TestManyStores:
    def test_each_comes_back_in_order_with_what_is_wrong(self, tmp_path: Path, samples: Any) -> None:
        paths = [samples.write(tmp_path, samples.content(slide_id=f"s{k}")) for k in range(5)]
        (paths[3] / "features/c/0/0").write_bytes(b"")
        for fast in (True, False):
            found = list(checked(paths, fast=fast))
            assert [path for path, _ in found] == paths
            assert [error is None for _, error in found] == [True, True, True, False, True]

    def test_a_slide_of_16000_tiles_is_at_most_24_files(self, tmp_path: Path, samples: Any) -> None:
        store = samples.write(tmp_path, samples.content(16_000, 2), np.zeros((16_000, 2), np.float32))
        assert len([path for path in store.rglob("*") if path.is_file()]) <= 24
