"""Every stored feature again, by plain OpenSlide, Pillow and torch: nothing of the package's reading code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wsi_features
from wsi_features import FeatureStore
from wsi_features.slides.synthetic import SlideSpec, write_slide

pytestmark = pytest.mark.golden


def plain_tile(slide: Any, about: dict[str, Any], x: int, y: int) -> np.ndarray:
    """The tile at level-0 (x, y), averaged from the level that the store names."""
    downsample, span, size = about["level_downsample"], about["span"], about["tile_px"]
    left, top, width = x / downsample, y / downsample, span / downsample
    whole_left, whole_top = math.floor(left), math.floor(top)
    needed = math.ceil(max(left - whole_left, top - whole_top) + width)
    corner = (round(whole_left * downsample), round(whole_top * downsample))
    image = slide.read_region(corner, about["level"], (needed, needed)).convert("RGB")
    if needed % size == 0:
        # Not resize(): it rounds up twice, once along each axis, and comes out 0.4 levels too bright.
        return np.asarray(image.reduce(needed // size))
    # Pillow's box filter takes a pixel whole or not at all, so between pixels the average is written out.
    across, down = (_weights(start, width, needed, size) for start in (left - whole_left, top - whole_top))
    return np.rint(np.einsum("ay,yxc,bx->abc", down, np.asarray(image, float), across, optimize=True)).astype(np.uint8)


def _weights(start: float, width: float, pixels: int, size: int) -> np.ndarray:
    edges = start + np.arange(size + 1)[:, None] * width / size
    whole = np.arange(pixels)[None]
    share = np.clip(np.minimum(edges[1:], whole + 1) - np.maximum(edges[:-1], whole), 0, None)
    return share / share.sum(axis=1, keepdims=True)


def plain_features(tiles: np.ndarray, store: FeatureStore, weights: Path | None) -> np.ndarray:
    """What the store's card says, in a few lines: timm forward, or the documented descriptor."""
    card = store.attributes["encoder"]
    if card["builder"] == "histo-texture":
        from wsi_features.encode.histo_texture.descriptor import tile_descriptor

        return np.stack([tile_descriptor(tile) for tile in tiles])
    import timm
    import torch
    from safetensors.torch import load_file

    model = timm.create_model(card["name"].split(":")[1], num_classes=0).eval()
    model.load_state_dict(load_file(str(weights)))
    mean, std = (torch.tensor(card[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        batch = (torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255 - mean) / std
        return model(batch).numpy()


def centred_cosine(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Cosine of each row after subtracting the mean feature of `one`."""
    a, b = (rows.astype(np.float64) - one.mean(axis=0, dtype=np.float64) for rows in (one, two))
    return (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


@pytest.fixture(scope="module")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of timm's vit_tiny_patch16_224, in a file."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    path = tmp_path_factory.mktemp("weights") / "vit_tiny.safetensors"
    save_file(model.state_dict(), str(path))
    return path


REAL_SLIDE = Path(__file__).parents[3] / "shared/slides/cmu-1-small-region.svs"
"""A real Aperio slide at 0.499 um/px beside the checkout, where there is one."""


@pytest.fixture(scope="module", params=[0.5, 0.25, 0.2431, 0.499])
def slide_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide read one to one, one at half the size, one at an odd scale, and a real one."""
    if request.param == 0.499:
        if not REAL_SLIDE.is_file():
            pytest.skip(f"no real slide at {REAL_SLIDE}")
        link = tmp_path_factory.mktemp("real") / "0.499.svs"
        link.symlink_to(REAL_SLIDE)
        return link
    path = tmp_path_factory.mktemp("slides") / f"{request.param}.svs"
    shrink = 0.25 / request.param
    width, height = round(4352 * shrink), round(3072 * shrink)
    write_slide(
        path,
        SlideSpec(
            width=width, height=height, seed=4, mpp=request.param, objective=round(10 / request.param), levels=(1, 4)
        ),
    )
    return path


@pytest.fixture(
    scope="module", params=["histo-texture", pytest.param("timm:vit_tiny_patch16_224", marks=pytest.mark.ci)]
)
def embedded(
    request: pytest.FixtureRequest, slide_path: Path, tiny_vit: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[FeatureStore, Path | None]:
    """The store of one slide and encoder, and the weights."""
    weights = tiny_vit if request.param.startswith("timm") else None
    store = wsi_features.embed(slide_path, request.param, weights=weights, out=tmp_path_factory.mktemp("out"))
    return store, weights


def again(store: FeatureStore, path: Path, weights: Path | None, *, shift: int = 0, swap: bool = False) -> np.ndarray:
    """Cosines of all stored rows with the plain features of tiles moved by `shift` level-0 pixels."""
    import openslide

    with openslide.OpenSlide(str(path)) as slide:
        tiles = np.stack([plain_tile(slide, store.attributes, int(x) + shift, int(y)) for x, y in store.coords])
    features = plain_features(tiles[..., ::-1].copy() if swap else tiles, store, weights)
    return centred_cosine(store.features[:], features)


def test_stored_features_are_those_of_the_tiles_they_name(
    embedded: tuple[FeatureStore, Path | None], slide_path: Path
) -> None:
    store, weights = embedded
    assert len(store) >= 20
    assert again(store, slide_path, weights).min() >= 0.999


def test_a_shift_of_one_tile_pixel_would_be_seen(embedded: tuple[FeatureStore, Path | None], slide_path: Path) -> None:
    store, weights = embedded
    pixel = round(store.attributes["span"] / store.attributes["tile_px"])
    assert again(store, slide_path, weights, shift=pixel).min() < 0.999


def test_swapped_colour_channels_would_be_seen(embedded: tuple[FeatureStore, Path | None], slide_path: Path) -> None:
    store, weights = embedded
    assert np.median(again(store, slide_path, weights, swap=True)) < 0.999


def test_the_store_says_how_its_tiles_were_read(embedded: tuple[FeatureStore, Path | None], slide_path: Path) -> None:
    about = embedded[0].attributes
    assert about["mpp_effective"] == pytest.approx(0.5, rel=0.005)
    assert about["mpp_native"] == float(slide_path.stem)
    assert about["resize"] == pytest.approx(about["tile_px"] * about["level_downsample"] / about["span"])
    assert "svs" not in json.dumps(about)
