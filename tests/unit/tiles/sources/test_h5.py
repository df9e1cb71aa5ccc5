"""Patch files of other programs, written here in their layouts: formats read from their sources."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from wsi_features.errors import CoordinatesError
from wsi_features.geometry import Size
from wsi_features.tiles.sources import place, read_list, span_of

SLIDE = Size(4000, 3000)
DOWNSAMPLES = ((1.0, 1.0), (4.0, 4.0), (16.01, 16.0))
CORNERS = np.array([[512, 1024], [0, 0], [1024, 1024]])
TRIDENT = {
    "patch_size": 256,
    "patch_size_level0": np.float64(512.0),
    "level0_magnification": 40,
    "target_magnification": 20.0,
    "overlap": 64,
    "name": "s1",
    "savetodir": "None",
    "level0_width": 4000,
    "level0_height": 3000,
}
CLAM = {
    "patch_size": 256,
    "patch_level": 1,
    "downsample": (4.0, 4.0),
    "downsampled_level_dim": (1000, 750),
    "level_dim": (1000, 750),
    "name": "s1",
    "save_path": "patches",
}


def written(tmp_path: Path, about: dict[str, Any], corners: np.ndarray[Any, Any] = CORNERS, rows: int = 1) -> Path:
    """The dataset `coords` with its attributes, in chunks of `rows`: 1 in TRIDENT's files, 32 in CLAM's."""
    path = tmp_path / "s1_patches.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("coords", data=corners.astype(np.int64), chunks=(rows, 2), maxshape=(None, 2))
        made.attrs.update(about)
    return path


def span(path: Path) -> int | None:
    return span_of("s1", read_list("s1", path, DOWNSAMPLES), 0.25)


def test_a_file_of_trident_gives_its_corners_and_its_footprint(tmp_path: Path) -> None:
    tiles = read_list("s1", written(tmp_path, TRIDENT), DOWNSAMPLES)
    found = place("s1", tiles, SLIDE, span=512, size=256, at="centre")
    assert found.grid.origins.tolist() == [[0, 0], [512, 1024], [1024, 1024]]
    assert found.columns["list_row"].tolist() == [1, 0, 2]
    assert (span_of("s1", tiles, 0.25), tiles.overlap, tiles.slide) == (512, 128.0, SLIDE)


@pytest.mark.parametrize("gone", ["patch_size_level0", "nothing"])
def test_without_the_footprint_the_magnifications_give_it(tmp_path: Path, gone: str) -> None:
    assert span(written(tmp_path, {k: v for k, v in TRIDENT.items() if k != gone})) == 512


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, 1024),
        ({"downsample": (4.0003, 4.0001)}, 1024),
        ({"patch_level": 0, "downsample": (1.0, 1.0), "level_dim": (4000, 3000)}, 256),
        ({"patch_level": 2, "downsample": None}, 4097),
        ({"custom_downsample": 2}, 2048),
    ],
)
def test_a_file_of_clam_counts_its_size_in_pixels_of_its_level(
    tmp_path: Path, changes: dict[str, Any], wanted: int
) -> None:
    about = {name: value for name, value in (CLAM | changes).items() if value is not None}
    assert span(written(tmp_path, about, rows=32)) == wanted


def test_a_file_of_atlaspatch_has_its_attributes_on_the_file(tmp_path: Path) -> None:
    rows = np.concatenate([CORNERS, np.full((3, 2), 256), np.ones((3, 1), int)], axis=1).astype(np.int32)
    with h5py.File(tmp_path / "s1.h5", "w") as file:
        file["coords"] = rows
        file["passports"] = np.array([b"p"] * 3, "S160")
        own = {name: TRIDENT[name] for name in TRIDENT if name not in ("name", "savetodir")}
        file.attrs.update(own | {"wsi_path": "s1.svs", "passport_version": 2, "num_patches": 3})
    tiles = read_list("s1", tmp_path / "s1.h5", DOWNSAMPLES)
    assert (tiles.x.tolist(), tiles.y.tolist(), span_of("s1", tiles, 0.25)) == ([512, 0, 1024], [1024, 0, 1024], 512)


@pytest.mark.parametrize("shape", [(0, 2), (0,)])
def test_a_slide_without_patches_is_an_empty_list(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "s1.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("coords", data=np.empty(shape, np.int64)).attrs.update(TRIDENT)
    assert len(read_list("s1", path, DOWNSAMPLES)) == 0


def test_the_list_of_another_slide_is_refused(tmp_path: Path) -> None:
    tiles = read_list("s1", written(tmp_path, TRIDENT | {"level0_width": 3000, "level0_height": 4000}), DOWNSAMPLES)
    with pytest.raises(CoordinatesError, match=r"a slide of 3000 x 4000 level-0 pixels, this one has 4000 x 3000"):
        place("s1", tiles, SLIDE, span=512, size=256)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({}, r"do not say how wide their patches are \(looked for the attributes patch_size_level0"),
        ({"patch_size": 256}, r"do not say how wide"),
        (CLAM | {"patch_level": 3}, r"are of level 3, the slide has levels 0 to 2"),
    ],
)
def test_a_file_that_does_not_say_how_wide_its_patches_are_is_refused(
    tmp_path: Path, about: dict[str, Any], message: str
) -> None:
    with pytest.raises(CoordinatesError, match=message):
        span(written(tmp_path, about))


def test_a_file_without_coords_is_refused_by_what_it_holds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = np.zeros((2, 3))
    with pytest.raises(CoordinatesError, match=r"no column 'coords' \(found: 'features'\)"):
        read_list("s1", tmp_path / "a.h5")
