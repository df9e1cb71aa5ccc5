"""Damage to committed stores: all of it is found by `check`, and no touched chunk is read without an error."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.unit.store.conftest import Samples
from wsi_features.errors import StoreError
from wsi_features.store import FeatureStore, layout


@pytest.fixture
def rotting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of three chunks of features, with an invalid tile."""
    monkeypatch.setattr(layout, "CHUNK_ROWS", 4)
    return Samples.write(tmp_path, Samples.content(11), bad=[5])


def survives_check(store: Path, *, fast: bool = False) -> bool:
    try:
        FeatureStore.open(store).check(fast=fast)
    except StoreError:
        return False
    return True


def survives_reading(store: Path, file: Path) -> bool:
    """Whether the part of the store that is in a chunk file can be read."""
    name, _, number = file.relative_to(store).parts[:3]
    try:
        opened = FeatureStore.open(store)
        values = opened.features[int(number) * 4 : int(number) * 4 + 4] if name == "features" else getattr(opened, name)
    except StoreError:
        return False
    return len(values) > 0


def is_chunk(store: Path, file: Path) -> bool:
    return "c" in file.relative_to(store).parts


def damaged(store: Path, flips: int, losses: int) -> str:
    """Flip bits, delete files and cut files, one at a time; how much of it there was, and what was not found."""
    chance, files = random.Random(flips), sorted(path for path in store.rglob("*") if path.is_file())
    missed, chunks = [], 0
    deeds = ["flip"] * flips + ["delete"] * losses + ["cut"] * losses
    for deed in deeds:
        file = chance.choice(files)
        whole = file.read_bytes()
        if deed == "flip":
            place = chance.randrange(8 * len(whole))
            content = bytearray(whole)
            content[place // 8] ^= 1 << place % 8
            file.write_bytes(content)
        elif deed == "delete":
            file.unlink()
        else:
            file.write_bytes(whole[: chance.randrange(len(whole))])
        found = not survives_check(store) and (deed == "flip" or not survives_check(store, fast=True))
        if is_chunk(store, file):
            chunks += 1
            found = found and not survives_reading(store, file)
        missed += [] if found else [f"{deed} {file.relative_to(store)}"]
        file.write_bytes(whole)
    assert missed == []
    assert survives_check(store)
    return f"{flips} flips, {losses} deletions, {losses} truncations, {chunks} of chunks: all found"


def test_some_damage_is_found(rotting: Path) -> None:
    sys.stdout.write(f"\n{damaged(rotting, 60, 12)}\n")


@pytest.mark.full
def test_all_damage_is_found(rotting: Path) -> None:
    sys.stdout.write(f"\n{damaged(rotting, 1000, 100)}\n")
