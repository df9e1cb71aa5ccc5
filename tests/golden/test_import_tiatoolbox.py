"""What tiatoolbox's own extractor writes is imported to the places that its tiles were read at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import openslide
import pytest

from wsi_features.cohort.outputs import Outputs
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.imports import ImportRequest, imported
from wsi_features.store import FeatureStore, find_stores

pytestmark = [pytest.mark.golden, pytest.mark.full]

MPP, ASKED, PX, STRIDE = 0.25, 0.8, 120, 80
"""Neither whole levels nor whole strides: a tile spans 384 level-0 pixels, the next begins 256 on."""

EXTRACT = f"""
import sys
from pathlib import Path
import torch
from tiatoolbox.models import IOPatchPredictorConfig
from tiatoolbox.models.engine.deep_feature_extractor import DeepFeatureExtractor
from tiatoolbox.models.models_abc import ModelABC

class MeanColour(ModelABC):
    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
    def forward(self, tiles):
        return tiles.float().mean((1, 2))
    @staticmethod
    def infer_batch(model, batch, *, device):
        return [model(batch.to(device)).detach().numpy()]
    @staticmethod
    def preproc(image):
        return image
    @staticmethod
    def postproc(image):
        return image

asked = [{{"units": "mpp", "resolution": {ASKED}}}]
config = IOPatchPredictorConfig(input_resolutions=asked, patch_input_shape=({PX}, {PX}), stride_shape=({STRIDE}, {STRIDE}))
extractor = DeepFeatureExtractor(MeanColour(), batch_size=16, num_workers=0, device="cpu", verbose=False)
how = dict(patch_mode=False, ioconfig=config, output_type="zarr", auto_get_mask=False)
extractor.run(images=[Path(sys.argv[1])], masks=None, save_dir=Path(sys.argv[2]), **how)
"""


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "wide.svs"
    write_slide(path, SlideSpec(2560, 1536, seed=5, mpp=MPP, objective=40, levels=(1, 4)))
    return path


@pytest.fixture(scope="module")
def store(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("toolbox")
    command = [sys.executable, "-W", "ignore", "-c", EXTRACT, str(slide), str(folder / "written")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    out = Outputs(folder / "out")
    asked = ImportRequest("tiatoolbox", (folder / "written",), mpp=MPP, tile_mpp=ASKED, encoder="mean-colour")
    assert [result.status for result in imported(out, asked)] == ["ok"]
    (path,) = find_stores(out.features)
    return FeatureStore.open(path)


def test_footprint_and_steps_are_level_0_pixels(store: FeatureStore) -> None:
    assert (store.provenance.span, store.provenance.step, store.provenance.tile_px) == (384, 256, PX)
    assert store.coords[:3].tolist() == [[0, 0], [256, 0], [512, 0]]
    assert store.coords[:, 0].max() > store.coords[:, 1].max()


def test_every_tile_has_the_colour_of_its_place(store: FeatureStore, slide: Path) -> None:
    span, found = int(store.provenance.span), []
    with openslide.OpenSlide(slide) as opened:
        inside = np.flatnonzero((store.coords + span <= opened.dimensions).all(axis=1))
        for row in inside:
            pixels = np.asarray(opened.read_region(tuple(store.coords[row].tolist()), 0, (span, span)).convert("RGB"))
            found.append(pixels.reshape(-1, 3).mean(axis=0))
    assert len(inside) > 20
    np.testing.assert_allclose(store.features[:][inside], found, atol=2)  # other levels, other interpolation
    assert np.ptp(found, axis=0).min() > 10
