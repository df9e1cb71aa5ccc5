"""The networks of learned segmenters against independent ones: the same keys, shapes and numbers.

tiatoolbox has GrandQC's U-Net++; segmentation_models_pytorch, which the models were trained with, has both. It is not
installed by this project; `pip install segmentation-models-pytorch==0.6.0` beside it makes its test run.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wsi_features.tissue.learned import segmenter_card
from wsi_features.tissue.learned.networks import made


def assert_equal_networks(name: str, theirs: nn.Module) -> None:
    torch.manual_seed(0)
    for key, tensor in theirs.state_dict().items():
        if key.endswith("running_mean"):
            tensor.uniform_(-0.1, 0.1)
        elif key.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
    ours = made(segmenter_card(name))
    shapes = [{k: t.shape for k, t in network.state_dict().items()} for network in (ours, theirs)]
    assert shapes[0] == shapes[1]
    ours.load_state_dict(theirs.state_dict(), assign=True)
    images = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=1e-4, atol=1e-5)


@pytest.mark.golden
@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_tissue_model_is_tiatoolbox_s() -> None:
    from tiatoolbox.models.architecture.grandqc import GrandQCModel

    assert_equal_networks("grandqc_tissue", GrandQCModel(num_output_channels=2))


@pytest.mark.golden
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "kind"), [("grandqc_tissue", "UnetPlusPlus"), ("grandqc_artefact", "Unet")])
def test_the_networks_are_those_they_were_trained_with(name: str, kind: str) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="not a dependency: see this module's docstring")
    classes = len(segmenter_card(name).classes)
    theirs = getattr(smp, kind)(encoder_name="timm-efficientnet-b0", encoder_weights=None, classes=classes)
    assert_equal_networks(name, theirs)
