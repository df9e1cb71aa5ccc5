from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.slides.synthetic import SlideSpec, ground_truth


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 0}, r"width and height '0 x 2000'; wanted 1 px or more"),
        ({"mpp": 0.05}, r"mpp 0.05; wanted None or 0.1 to 4 um/px"),
        ({"mpp": float("nan")}, r"mpp nan"),
        ({"objective": 0}, r"objective 0; wanted None or above 0"),
        ({"seed": -1}, r"seed -1"),
        ({"levels": (2, 4)}, r"levels \(2, 4\); wanted downsamples that rise from 1"),
        ({"levels": (1, 4, 4)}, r"levels \(1, 4, 4\)"),
        ({"levels": ()}, r"levels \(\)"),
        ({"height": 15}, r"levels \(1, 4, 16\); wanted at least 1 px in each level"),
        ({"quality": 101}, r"quality 101; wanted 1 to 100"),
        ({"tile": 250}, r"tile 250; wanted a multiple of 16"),
        ({"subsampling": "422"}, r"subsampling '422'; wanted one of 420, 444"),
        ({"stain": "c"}, r"stain 'c'; wanted one of a, b"),
        ({"pen_colour": "pink"}, r"pen_colour 'pink'"),
        ({"layout": "smear"}, r"layout 'smear'; wanted one of sections, cores, fragments"),
        ({"strength": 0.0}, r"strength 0.0; wanted above 0, up to 2"),
        ({"lesion": 0.6}, r"lesion 0.6; wanted 0 to 0.5 of the tissue"),
        ({"tumour": 0.0}, r"tumour 0.0; wanted a share of the tissue between 0 and 1"),
        ({"lymphocytes": 1.0}, r"lymphocytes 1.0"),
        ({"glass": (255, 300, 255)}, r"glass \(255, 300, 255\); wanted levels of 0 to 255"),
        ({"photometric": "RGB"}, r"subsampling '420'; wanted '444' with photometric 'RGB'"),
    ],
)
def test_an_impossible_slide_is_refused_with_the_value_and_what_is_wanted(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SlideSpec(**fields)


def test_a_level_holds_only_the_pixels_that_its_downsample_fills() -> None:
    assert SlideSpec(1003, 605, levels=(1, 2, 4)).level_sizes == ((1003, 605), (501, 302), (250, 151))


def test_a_slide_without_resolution_is_drawn_at_a_quarter_micron() -> None:
    assert SlideSpec(mpp=None).scale == 0.25
    assert SlideSpec(mpp=0.5).scale == 0.5


def test_importing_the_generator_loads_no_image_library() -> None:
    heavy = "cv2", "tifffile", "imagecodecs", "openslide", "scipy", "torch"
    code = f"import sys, wsi_features.slides.synthetic; sys.exit(str([m for m in {heavy} if m in sys.modules] or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@settings(max_examples=15, deadline=None)
@given(width=st.integers(300, 5000), height=st.integers(300, 4000), mpp=st.sampled_from([0.2498, 0.37, 1.0]))
def test_the_truth_covers_the_slide_in_whole_level_0_pixels(width: int, height: int, mpp: float) -> None:
    truth = ground_truth(SlideSpec(width, height, mpp=mpp, levels=(1,)))
    step = int(truth.downsample)
    assert truth.downsample == step
    assert truth.labels.shape == (-(-height // step), -(-width // step))
