"""The commit record finds every lost, added or altered byte."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, is_complete

FILES = [
    "columns/c/0/0",
    "columns/zarr.json",
    "coords/c/0/0",
    "coords/zarr.json",
    "features/c/0/0",
    "features/zarr.json",
    "grid/c/0/0",
    "grid/zarr.json",
    "valid/c/0",
    "valid/zarr.json",
    "zarr.json",
]


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def edit(store: Path, **changed: Any) -> None:
    """Rewrite the record in canonical form with other values."""
    record = json.loads((store / "commit.json").read_text()) | changed
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    (store / "commit.json").write_text(text + "\n")


def test_the_record_lists_every_other_file_with_size_and_sha256(store: Path, samples: Any) -> None:
    record = json.loads((store / "commit.json").read_text())
    assert [entry["path"] for entry in record["files"]] == FILES
    assert [entry["size"] for entry in record["files"]] == [(store / name).stat().st_size for name in FILES]
    assert (record["version"], record["rows"], record["dim"]) == (1, 7, 3)
    assert record["fingerprint"] == samples.fingerprint


@pytest.mark.parametrize("name", FILES)
class TestEachFile:
    def test_truncated_by_one_byte_is_refused_at_open(self, store: Path, name: str) -> None:
        os.truncate(store / name, (store / name).stat().st_size - 1)
        with pytest.raises(StoreError, match=rf"damaged: {name} has \d+ bytes, the commit record says \d+ bytes"):
            FeatureStore.open(store)

    def test_deleted_is_refused_at_open(self, store: Path, name: str) -> None:
        (store / name).unlink()
        with pytest.raises(StoreError, match=f"damaged: {name} is missing"):
            FeatureStore.open(store)

    def test_replaced_by_a_pipe_is_refused_at_open(self, store: Path, name: str) -> None:
        (store / name).unlink()
        os.mkfifo(store / name)
        with pytest.raises(StoreError, match=f"{name} has no regular file"):
            FeatureStore.open(store)

    def test_flipped_anywhere_is_found_by_the_full_check(self, store: Path, name: str) -> None:
        opened, content = FeatureStore.open(store), (store / name).read_bytes()
        for bit in {0, 8 * len(content) - 1, *random.Random(name).sample(range(8 * len(content)), 5)}:
            (store / name).write_bytes(flipped(content, bit))
            with pytest.raises(StoreError, match=rf"damaged: {name} has SHA-256 [0-9a-f]+, the commit record says"):
                opened.check()

    def test_flipped_is_not_looked_for_by_the_fast_check(self, store: Path, name: str) -> None:
        opened = FeatureStore.open(store)
        (store / name).write_bytes(flipped((store / name).read_bytes(), 20))
        opened.check(fast=True)

    def test_lost_after_opening_is_found_by_the_fast_check(self, store: Path, name: str) -> None:
        opened = FeatureStore.open(store)
        opened.check(fast=True)
        (store / name).unlink()
        with pytest.raises(StoreError, match=f"{name} is missing"):
            opened.check(fast=True)


def test_a_flip_anywhere_in_the_record_is_found(store: Path) -> None:
    content = (store / "commit.json").read_bytes()
    for byte in range(0, len(content), 5):
        (store / "commit.json").write_bytes(flipped(content, 8 * byte + byte % 8))
        with pytest.raises(StoreError):
            FeatureStore.open(store).check()


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_record_cut_short_is_no_record(store: Path, length: int) -> None:
    content = (store / "commit.json").read_bytes()
    (store / "commit.json").write_bytes(content[:length])
    with pytest.raises(StoreError, match=r"is not complete \(commit.json is not .*Embed the slide again"):
        FeatureStore.open(store)


@pytest.mark.parametrize("content", [b"[]", b"{}", b'"x"', b"\xff\xfe", b'{"version":1}'])
def test_something_else_is_no_record(store: Path, content: bytes) -> None:
    (store / "commit.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"is not complete \(commit.json is not"):
        FeatureStore.open(store)


def test_a_record_spelled_otherwise_is_refused(store: Path) -> None:
    record = json.loads((store / "commit.json").read_text())
    (store / "commit.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match="not in canonical form"):
        FeatureStore.open(store)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fingerprint": "cc" * 32}, "the fingerprint is (ab){32}, wanted (cc){32} as in the commit record"),
        ({"version": 3}, "format version 3, this release reads 1 to 2. Update"),
        ({"version": 0}, "not complete"),
        ({"version": True}, "not complete"),
        ({"rows": -1}, "not complete"),
        ({"rows": 7.0}, "not complete"),
        ({"extra": 1}, "not complete"),
        ({"files": []}, r"holds columns/c/0/0, which its commit record does not list"),
    ],
)
def test_an_edited_record_is_refused_at_open(store: Path, changed: Any, message: str) -> None:
    edit(store, **changed)
    with pytest.raises(StoreError, match=message):
        FeatureStore.open(store)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rows": 6}, r"array features is float16 \(7, 3\), wanted float16 \(6, 3\)"),
        ({"dim": 4}, r"array features is float16 \(7, 3\), wanted float16 \(7, 4\)"),
    ],
)
def test_an_edited_size_is_found_by_the_check(store: Path, changed: Any, message: str) -> None:
    edit(store, **changed)
    with pytest.raises(StoreError, match=message):
        FeatureStore.open(store).check()


def test_a_newer_record_is_named_even_when_its_form_is_unknown(store: Path) -> None:
    (store / "commit.json").write_text('{"version": 7, "shards": []}')
    with pytest.raises(StoreError, match="format version 7"):
        FeatureStore.open(store)


def test_an_extra_file_is_refused_by_name(store: Path) -> None:
    (store / "features/c/1").mkdir()
    (store / "features/c/1/0").write_text("x")
    with pytest.raises(StoreError, match="holds features/c/1/0, which its commit record does not list"):
        FeatureStore.open(store)


def test_files_behind_links_are_read(store: Path, tmp_path: Path) -> None:
    chunk = (store / "features/c/0/0").rename(tmp_path / "annexed")
    (store / "features/c/0/0").symlink_to(chunk)
    FeatureStore.open(store).check()
    chunk.unlink()
    with pytest.raises(StoreError, match="features/c/0/0 has no regular file"):
        FeatureStore.open(store)


@pytest.mark.parametrize("place", ["none.zarr", "file.zarr"])
def test_no_store_is_absent(tmp_path: Path, samples: Any, place: str) -> None:
    (tmp_path / "file.zarr").write_text("x")
    with pytest.raises(StoreError, match=f"no feature store at '.*{place}'"):
        FeatureStore.open(tmp_path / place)
    assert not is_complete(tmp_path / place, samples.fingerprint)


def test_a_plain_zarr_group_is_not_complete(store: Path, samples: Any) -> None:
    (store / "commit.json").unlink()
    with pytest.raises(StoreError, match=r"is not complete \(no commit.json\)"):
        FeatureStore.open(store)
    assert not is_complete(store, samples.fingerprint)


def test_a_record_that_cannot_be_read_is_said_so(store: Path) -> None:
    (store / "commit.json").unlink()
    (store / "commit.json").mkdir()
    with pytest.raises(StoreError, match=r"commit.json cannot be read \(Is a directory\)"):
        FeatureStore.open(store)
