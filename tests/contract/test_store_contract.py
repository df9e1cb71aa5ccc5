"""What every feature store promises its readers, whichever release wrote it.

The suite runs on the kept stores of each format version, and on the same content
written again by the writer of this release.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, Provenance, StoreContent, StoreWriter, find_stores, is_complete, layout

KEPT = Path(__file__).parents[1] / "unit" / "store" / "data"
STORES = find_stores(KEPT)


def rewritten(store: FeatureStore, folder: Path) -> Path:
    """The content of `store` through the writer of this release."""
    columns = np.array(list(store.columns.values()), dtype=np.float32).reshape(len(store.columns), len(store)).T
    fields = store.provenance.model_dump()
    dtype: layout.FeatureDtype = "float16" if store.features.dtype == np.float16 else "float32"
    content = StoreContent(
        store.coords, store.grid, columns, tuple(store.columns), store.dim, dtype, Provenance(**fields)
    )
    with StoreWriter(folder / store.path.name, content) as writer:
        writer.append(store.features[:].astype(np.float32), store.valid)
        return writer.commit([(row, reason) for row, _, _, reason in store.attributes["bad_tiles"]])


@pytest.fixture(params=STORES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def kept(request: pytest.FixtureRequest) -> FeatureStore:
    return FeatureStore.open(request.param)


@pytest.fixture(params=["as kept", "rewritten"])
def store(request: pytest.FixtureRequest, kept: FeatureStore, tmp_path: Path) -> FeatureStore:
    return kept if request.param == "as kept" else FeatureStore.open(rewritten(kept, tmp_path))


def test_every_format_version_has_kept_stores() -> None:
    versions = {path.parent.name for path in STORES}
    assert versions == {f"v{version}" for version in range(1, layout.FORMAT_VERSION + 1)}


def test_it_passes_the_full_and_the_fast_check(store: FeatureStore) -> None:
    store.check()
    store.check(fast=True)


def test_it_is_complete_under_its_fingerprint_only(store: FeatureStore) -> None:
    assert store.fingerprint == store.provenance.fingerprint
    assert is_complete(store.path, store.fingerprint)
    assert not is_complete(store.path, "0" * 64)


def test_every_array_has_one_row_a_tile(store: FeatureStore) -> None:
    n = len(store)
    assert store.features.shape == (n, store.dim)
    assert (store.coords.shape, store.grid.shape, store.valid.shape) == ((n, 2), (n, 2), (n,))
    assert all(values.shape == (n,) for values in store.columns.values())
    assert store.status == ("ok" if n else "empty")


def test_data_types_are_those_of_the_format(store: FeatureStore) -> None:
    assert str(store.features.dtype) in layout.FEATURE_DTYPES
    assert [str(values.dtype) for values in (store.coords, store.grid, store.valid)] == ["int32", "int32", "bool"]
    assert all(values.dtype == np.float32 for values in store.columns.values())


def test_features_are_finite_exactly_where_the_tile_is_valid(store: FeatureStore) -> None:
    features = store.features[:]
    assert np.isfinite(features[store.valid]).all()
    assert np.isnan(features[~store.valid]).all()
    assert [tile[0] for tile in store.attributes["bad_tiles"]] == np.flatnonzero(~store.valid).tolist()


def test_tiles_run_line_by_line_within_the_slide(store: FeatureStore) -> None:
    for pairs in (store.coords, store.grid):
        assert pairs.tolist() == sorted(map(list, {tuple(p) for p in pairs.tolist()}), key=lambda p: (p[1], p[0]))
    made = store.provenance
    width, height = made.slide_size if made.knows("slide_size") else (2**31, 2**31)
    assert all(0 <= x <= width - made.span and 0 <= y <= height - made.span for x, y in store.coords.tolist())


def test_reading_in_parts_gives_the_whole(store: FeatureStore) -> None:
    parts = [store.features[row : row + 2] for row in range(0, len(store), 2)]
    whole = store.features[:]
    assert np.array_equal(np.concatenate([*parts, whole[:0]]), whole, equal_nan=True)


def test_it_does_not_open_without_its_record(store: FeatureStore, tmp_path: Path) -> None:
    bare = tmp_path / "bare" / store.path.name
    for file in store.path.rglob("*"):
        if file.is_file() and file.name != "commit.json":
            copy = bare / file.relative_to(store.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    with pytest.raises(StoreError, match=r"is not complete \(no commit\.json\)"):
        FeatureStore.open(bare)


def test_writing_it_again_keeps_every_number(kept: FeatureStore, tmp_path: Path) -> None:
    again = FeatureStore.open(rewritten(kept, tmp_path))
    assert np.array_equal(again.features[:], kept.features[:], equal_nan=True)
    for name in ("coords", "grid", "valid"):
        assert np.array_equal(getattr(again, name), getattr(kept, name))
    assert {name: v.tolist() for name, v in again.columns.items()} == {n: v.tolist() for n, v in kept.columns.items()}
    assert again.attributes | {"format_version": 0} == kept.attributes | {"format_version": 0}
