"""A store in one file holds the very same files, and is read, checked and replaced like the folder."""

from __future__ import annotations

import dataclasses
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, StoreWriter, find_stores, in_any_form, is_complete, slide_of, work_left

pytestmark = pytest.mark.usefixtures("small_chunks")


def packed(folder: Path, samples: Any, n: int = 11, bad: Any = (8,), **changed: Any) -> Path:
    with StoreWriter(folder / "s1.zarr.zip", samples.content(n, **changed)) as writer:
        samples.append(writer, samples.features(n), bad=bad)
        target: Path = writer.commit([(row, f"missing {row}") for row in bad])
    return target


def test_it_is_one_file_with_the_files_of_the_folder(tmp_path: Path, samples: Any) -> None:
    folder = samples.write(tmp_path / "folder", samples.content(11), bad=[8])
    archive = packed(tmp_path / "one", samples)
    assert [path.name for path in archive.parent.iterdir()] == ["s1.zarr.zip"]
    with zipfile.ZipFile(archive) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == samples.tree(folder)


@pytest.mark.parametrize("n", [0, 1, 11])
def test_readers_see_the_same(tmp_path: Path, samples: Any, n: int) -> None:
    bad = [8] if n > 8 else []
    folder = FeatureStore.open(samples.write(tmp_path / "folder", samples.content(n), bad=bad))
    archive = FeatureStore.open(packed(tmp_path / "one", samples, n, bad))
    archive.check()
    assert np.array_equal(archive.features[:], folder.features[:], equal_nan=True)
    assert np.array_equal(archive.coords, folder.coords)
    assert archive.attributes == folder.attributes
    assert archive.record == folder.record


def test_equal_stores_are_equal_files(tmp_path: Path, samples: Any) -> None:
    one, other = packed(tmp_path / "one", samples), packed(tmp_path / "other", samples)
    assert one.read_bytes() == other.read_bytes()


def test_every_flipped_byte_is_found(tmp_path: Path, samples: Any) -> None:
    archive = packed(tmp_path, samples)
    whole = archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        places = [member.header_offset + 30 + len(member.filename) for member in opened.infolist() if member.file_size]
    for place in places:
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StoreError):
            FeatureStore.open(archive).check()


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_truncated_archive_is_no_store(tmp_path: Path, samples: Any, cut: int) -> None:
    archive = packed(tmp_path, samples)
    archive.write_bytes(archive.read_bytes()[:-cut])
    with pytest.raises(StoreError):
        FeatureStore.open(archive)


def test_a_forked_or_pickled_reader_reads_by_itself(tmp_path: Path, samples: Any) -> None:
    features = FeatureStore.open(packed(tmp_path, samples)).features
    wanted = features[:4].tobytes()
    assert pickle.loads(pickle.dumps(features))[:4].tobytes() == wanted  # noqa: S301 - made here
    child = os.fork()
    if child == 0:
        os._exit(0 if all(features[:4].tobytes() == wanted for _ in range(50)) else 1)
    assert all(features[:4].tobytes() == wanted for _ in range(50))
    assert os.waitpid(child, 0)[1] == 0


def test_a_store_of_another_recipe_is_replaced_and_one_of_the_same_stays(tmp_path: Path, samples: Any) -> None:
    packed(tmp_path, samples, fingerprint="cc" * 32)
    target = packed(tmp_path, samples)
    before = target.stat().st_ino
    packed(tmp_path, samples)
    assert target.stat().st_ino == before
    assert is_complete(target, samples.fingerprint)
    assert [path.name for path in tmp_path.iterdir()] == ["s1.zarr.zip"]


def test_a_killed_writer_of_one_file_is_taken_up_too(tmp_path: Path, samples: Any) -> None:
    target = tmp_path / "cut" / "s1.zarr.zip"
    writer = StoreWriter(target, samples.content(11))
    writer.__enter__()
    writer.append(samples.features(11)[:9], np.arange(9) != 8, None, ["missing 8"])
    writer.leave()
    with StoreWriter(target, samples.content(11), left=work_left(target)) as heir:
        assert heir.rows == 8
        heir.append(samples.features(11)[8:], np.array([False, True, True]), None, ["missing 8"])
        heir.commit()
    assert target.read_bytes() == packed(tmp_path / "whole", samples).read_bytes()
    assert [path.name for path in target.parent.iterdir()] == ["s1.zarr.zip"]


def test_both_forms_are_found_and_one_that_is_there_keeps_its_form(tmp_path: Path, samples: Any) -> None:
    archive = packed(tmp_path, samples)
    folder = samples.write(tmp_path, dataclasses.replace(samples.content(slide_id="s2")))
    assert find_stores(tmp_path) == [archive, folder]
    assert [slide_of(path) for path in find_stores(tmp_path)] == ["s1", "s2"]
    assert in_any_form(tmp_path / "s1.zarr") == archive
    assert in_any_form(tmp_path / "s2.zarr.zip") == folder
    assert in_any_form(tmp_path / "s3.zarr.zip") == tmp_path / "s3.zarr.zip"
