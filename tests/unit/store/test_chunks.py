"""Chunks written here are the very files that zarr would write."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from wsi_features.store.chunks import write_chunk
from wsi_features.store.layout import array_specs, create_array, open_array

SPEC = array_specs(5000, 7, 1, "float16")["features"]


def test_the_file_is_that_of_zarr_to_the_byte(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=SPEC.chunks).astype(np.float16)
    create_array(tmp_path / "zarr", SPEC)[4096:] = rows[:904]
    rows[904:] = np.nan
    (tmp_path / "own/features").mkdir(parents=True)
    entry = write_chunk(tmp_path / "own", "features", 1, rows)
    own, zarrs = (tmp_path / who / "features/c/1/0" for who in ("own", "zarr"))
    assert own.read_bytes() == zarrs.read_bytes()
    assert entry.sha256 == hashlib.sha256(own.read_bytes()).hexdigest()
    assert entry.size == own.stat().st_size


def test_zarr_reads_it_and_sees_damage(tmp_path: Path) -> None:
    create_array(tmp_path, SPEC)
    rows = np.arange(4096 * 7, dtype=np.float16).reshape(4096, 7)
    entry = write_chunk(tmp_path, "features", 0, rows)
    assert np.array_equal(open_array(tmp_path, "features")[:4096], rows)
    file = tmp_path / entry.path
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        open_array(tmp_path, "features")[:4096]


def test_a_chunk_is_never_written_over_another(tmp_path: Path) -> None:
    rows = np.zeros((4, 3), np.float32)
    (tmp_path / "features").mkdir()
    write_chunk(tmp_path, "features", 0, rows)
    with pytest.raises(FileExistsError):
        write_chunk(tmp_path, "features", 0, rows)


def test_a_writer_whose_folder_was_taken_away_does_not_make_another(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_chunk(tmp_path / "gone", "features", 0, np.zeros((4, 3), np.float32))
    assert not list(tmp_path.iterdir())
