"""Neighbouring tiles come by one read, and one that cannot be read costs only itself."""

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from wsi_features.slides.tiff import TiffIndex, fetch, tiff_index
from wsi_features.slides.tiff.fetch import compressed

WIDTH, HEIGHT = 320, 96
ACROSS = WIDTH // 32


@pytest.fixture
def index(tmp_path: Path) -> TiffIndex:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", noise, tile=(16, 32), photometric="rgb", compression="deflate", metadata=None)
    found = tiff_index(str(tmp_path / "s.tif"))
    assert isinstance(found, TiffIndex)
    found.file.retain()
    return found


@pytest.fixture
def reads(index: TiffIndex, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths that are asked of the file."""
    seen: list[int] = []
    read = index.file.read
    monkeypatch.setattr(index.file, "read", lambda at, count: seen.append(count) or read(at, count))
    return seen


def one_by_one(index: TiffIndex, numbers: list[int]) -> list[bytes | str]:
    level = index.scenes[0].planes[0][0]
    return [found for number in numbers for found in compressed(index, level, [number])]


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [(list(range(10)), 1), ([0, 1, 2, 10, 11, 30], 3), ([7], 1), ([], 0), ([5, 4, 3], 3)],
)
def test_tiles_that_follow_each_other_are_read_at_once(
    index: TiffIndex, reads: list[int], monkeypatch: pytest.MonkeyPatch, numbers: list[int], wanted: int
) -> None:
    monkeypatch.setattr(fetch, "MOST_GAP", 64)
    found = compressed(index, index.scenes[0].planes[0][0], numbers)
    assert len(reads) == wanted
    assert found == one_by_one(index, numbers)


def test_a_read_never_grows_beyond_its_limit(
    index: TiffIndex, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MOST_BYTES", 5000)
    numbers = list(range(ACROSS * 6))
    found = compressed(index, index.scenes[0].planes[0][0], numbers)
    assert max(reads) <= 5000
    assert 10 < len(reads) < 30
    assert found == one_by_one(index, numbers)


def test_one_tile_that_the_disk_does_not_give_costs_only_itself(
    index: TiffIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = index.scenes[0].planes[0][0]
    bad, read = int(level.offsets[4]), index.file.read
    monkeypatch.setattr(index.file, "read", refusing(read, bad))
    found = compressed(index, level, list(range(8)))
    assert found[4] == "Input/output error"
    assert all(isinstance(data, bytes) for i, data in enumerate(found) if i != 4)


def refusing(read: Callable[[int, int], bytes], bad: int) -> Callable[[int, int], bytes]:
    def raising(at: int, count: int) -> bytes:
        if at <= bad < at + count:
            raise OSError(errno.EIO, "Input/output error")
        return read(at, count)

    return raising


def test_a_file_that_ends_too_early_says_so_for_the_tiles_behind_its_end(index: TiffIndex, tmp_path: Path) -> None:
    level = index.scenes[0].planes[0][0]
    cut = int(level.offsets[5] + level.counts[5] // 2)
    with (tmp_path / "s.tif").open("r+b") as file:
        file.truncate(cut)
    found = compressed(index, level, list(range(8)))
    assert [isinstance(data, bytes) for data in found] == [True] * 5 + [False] * 3
    assert found[6] == "its bytes end beyond the end of the file"
