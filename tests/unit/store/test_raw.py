"""Reading past Zarr gives what Zarr gives, and refuses what is damaged."""

import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, RawArray, raw_array
from wsi_features.store.archive import pack
from wsi_features.store.arrays import StoredArray
from wsi_features.store.extents import Extent
from wsi_features.store.layout import ARRAYS
from wsi_features.store.raw import CHECKSUM, aligned_empty


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, samples: Any) -> Path:
    """Eleven tiles in chunks of four; the last is padded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsi_features.store.layout.CHUNK_ROWS", 4)
        return samples.write(tmp_path_factory.mktemp("many"), samples.content(11), bad=[5])


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("verify", ["first", "always", "never"])
def test_whole_arrays_are_what_zarr_reads(many: Path, name: str, verify: Any) -> None:
    found = raw_array(many, name).read(verify=verify)
    wanted = StoredArray(many, name)[...]
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@given(st.lists(st.integers(0, 10), max_size=30))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_rows_in_any_order_are_those_of_zarr(many: Path, rows: list[int]) -> None:
    store = FeatureStore.open(many)
    np.testing.assert_array_equal(store.raw_features.rows(rows), store.features[...][rows])


def test_rows_and_arrays_go_into_memory_that_is_given(many: Path) -> None:
    raw = raw_array(many, "features")
    out = np.zeros((12, 3), np.float16)
    assert raw.rows([9, 2], out[:2]).base is out
    raw.read(out[1:])
    np.testing.assert_array_equal(out[0], raw.rows([9])[0])
    np.testing.assert_array_equal(out[3], raw.rows([2])[0])


@pytest.mark.parametrize(
    "out", [np.zeros((11, 3), np.float32), np.zeros((3, 11), np.float16).T, np.zeros((9, 3), np.float16)]
)
def test_memory_that_does_not_fit_is_refused(many: Path, out: Any) -> None:
    with pytest.raises(ValueError, match=r"give a C-contiguous array that is float16 \(11, 3\)"):
        raw_array(many, "features").read(out)


def test_rows_that_are_not_there_are_refused(many: Path) -> None:
    with pytest.raises(IndexError, match="rows are 0 to 10; asked for 3 to 11"):
        raw_array(many, "features").rows([11, 3])
    with pytest.raises(IndexError, match="asked for -1"):
        raw_array(many, "features").rows([-1])


def test_a_store_without_tiles_or_columns_reads_as_none(tmp_path: Path, samples: Any) -> None:
    raw = FeatureStore.open(samples.write(tmp_path, samples.content(0))).raw_features
    assert raw.read().shape == (0, 3)
    assert raw.rows([]).shape == (0, 3)


@pytest.mark.parametrize("at", [0, 3, -1])
def test_a_flipped_bit_is_found_by_the_first_reading_of_a_chunk(store: Path, at: int) -> None:
    chunk = store / "features" / "c" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[at] ^= 1
    chunk.write_bytes(content)
    raw = raw_array(store, "features")
    raw.read(verify="never")
    with pytest.raises(StoreError, match="features/c/0/0 has the checksum"):
        raw.read()


def test_damage_in_the_padding_is_found_too(many: Path, tmp_path: Path) -> None:
    raw = raw_array(many, "features")
    last = Path(raw.extents[2].path)
    content = bytearray(last.read_bytes())
    content[-CHECKSUM - 1] ^= 1
    (tmp_path / "chunk").write_bytes(content)
    moved = Extent(str(tmp_path / "chunk"), 0, len(content))
    broken = RawArray(raw.store, raw.shape, raw.dtype, raw.chunk_rows, (*raw.extents[:2], moved), bytearray(3))
    with pytest.raises(StoreError, match="checksum"):
        broken.read()


def test_a_chunk_is_verified_once_by_a_reader_unless_always_is_asked(store: Path) -> None:
    raw = raw_array(store, "features")
    raw.read()
    chunk = store / "features" / "c" / "0" / "0"
    chunk.write_bytes(b"\1" + chunk.read_bytes()[1:])
    raw.read()
    with pytest.raises(StoreError, match="checksum"):
        raw.read(verify="always")


@pytest.mark.parametrize("read", [lambda raw: raw.read(), lambda raw: raw.rows([1])])
def test_a_chunk_that_is_short_or_gone_is_an_error_and_no_crash(store: Path, read: Any) -> None:
    raw = raw_array(store, "features")
    chunk = store / "features" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(StoreError, match="features/c/0/0 has 45 bytes, the commit record says 46 bytes"):
        read(raw)
    chunk.unlink()
    with pytest.raises(StoreError, match="features/c/0/0 cannot be read"):
        read(raw)


def test_chunks_may_lie_anywhere_in_one_file(many: Path, tmp_path: Path) -> None:
    raw = raw_array(many, "features")
    whole, extents = b"head.", []
    for extent in raw.extents:
        extents.append(Extent(str(tmp_path / "all"), len(whole), extent.size))
        whole += Path(extent.path).read_bytes()
    (tmp_path / "all").write_bytes(whole)
    one = RawArray(raw.store, raw.shape, raw.dtype, raw.chunk_rows, tuple(extents), bytearray(3))
    np.testing.assert_array_equal(one.read(), raw.read())
    np.testing.assert_array_equal(one.rows([1, 6, 10]), raw.rows([1, 6, 10]))


def test_a_compressed_array_is_refused(store: Path) -> None:
    file = store / "features" / "zarr.json"
    file.write_text(file.read_text().replace('"crc32c"', '"zstd"'))
    with pytest.raises(StoreError, match=r"features/zarr.json cannot be read \(codecs \['bytes', 'zstd'\]"):
        raw_array(store, "features")


def test_a_reader_can_be_pickled(many: Path) -> None:
    raw = pickle.loads(pickle.dumps(raw_array(many, "features")))  # noqa: S301 - our own bytes
    np.testing.assert_array_equal(raw.read(), FeatureStore.open(many).features[...])


def test_memory_begins_behind_the_start_of_a_page() -> None:
    assert aligned_empty((7, 3), np.dtype(np.float16)).ctypes.data % 4096 == 64


@pytest.fixture
def packed(many: Path, tmp_path: Path) -> Path:
    """The same store as one file."""
    path = tmp_path / "s1.zarr.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(file for file in many.rglob("*") if file.is_file()):
            archive.write(file, file.relative_to(many).as_posix())
    return path


def test_a_store_in_one_file_is_read_the_same_way(many: Path, packed: Path) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(raw_array(packed, name).read(), raw_array(many, name).read())
    rows = [10, 0, 7, 7, 4]
    np.testing.assert_array_equal(raw_array(packed, "features").rows(rows), raw_array(many, "features").rows(rows))


def test_damage_in_an_archive_names_the_chunk(packed: Path) -> None:
    extent = raw_array(packed, "features").extents[1]
    content = bytearray(packed.read_bytes())
    content[extent.offset + 3] ^= 8
    packed.write_bytes(content)
    with pytest.raises(StoreError, match="features/c/1/0 has the checksum"):
        raw_array(packed, "features").read()
    packed.write_bytes(content[:-30])
    with pytest.raises(StoreError, match="features/zarr.json cannot be read"):
        raw_array(packed, "features")


@pytest.mark.parametrize(("how", "wanted"), [(zipfile.ZIP_DEFLATED, "compressed"), (None, "features/c/2/0 is missing")])
def test_an_archive_that_is_compressed_or_lacks_a_chunk_is_refused(packed: Path, how: Any, wanted: str) -> None:
    other = packed.with_name("other.zarr.zip")
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(other, "w", how or zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            if how is not None or name != "features/c/2/0":
                target.writestr(name, source.read(name))
    with pytest.raises(StoreError, match=wanted):
        raw_array(other, "features")


@pytest.mark.parametrize("form", ["directory", "zip"])
def test_rows_verify_the_chunks_of_which_they_take_half_or_more(many: Path, tmp_path: Path, form: str) -> None:
    damaged = tmp_path / ("s.zarr" if form == "directory" else "s.zarr.zip")
    shutil.copytree(many, damaged) if form == "directory" else pack(many, damaged)
    extent = raw_array(damaged, "features").extents[2]
    content = bytearray(Path(extent.path).read_bytes())
    content[extent.offset + 1] ^= 1
    Path(extent.path).write_bytes(content)
    raw = raw_array(damaged, "features")
    raw.rows([0, 8, 9])
    raw.rows([0, 8], verify="always")  # one of the three rows of the last chunk
    np.testing.assert_array_equal(raw.rows([7, 4, 6], verify="first"), raw_array(many, "features").rows([7, 4, 6]))
    with pytest.raises(StoreError, match="features/c/2/0 has the checksum"):
        raw.rows([0, 8, 10], verify="first")
    assert list(raw.verified) == [0, 1, 0]
