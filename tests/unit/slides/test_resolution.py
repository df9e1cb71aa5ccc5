import numpy as np
import pytest

from wsi_features.errors import ResolutionError
from wsi_features.slides import ArraySlide, MppCandidate, resolution

PIXELS = np.zeros((4, 6, 3), np.uint8)


def stating(x: float, y: float) -> ArraySlide:
    slide = ArraySlide(PIXELS)
    slide.mpp_candidates = (MppCandidate("test", x, y),)
    return slide


def test_the_files_own_statement_is_used_with_its_source() -> None:
    found = resolution("s1", stating(0.498, 0.5))
    assert (found.mpp, found.source) == (pytest.approx(0.499), "test")


def test_the_manifest_goes_before_the_file() -> None:
    assert resolution("s1", stating(0.5, 0.5), declared=0.25).mpp == 0.25
    assert resolution("s1", stating(0.5, 0.5), declared=0.25).source == "manifest"


def test_a_slide_without_resolution_is_refused_with_the_remedy() -> None:
    with pytest.raises(ResolutionError, match=r"'s1' does not say its microns per pixel .*manifest column `mpp`"):
        resolution("s1", ArraySlide(PIXELS, mpp=None))


@pytest.mark.parametrize(
    ("x", "y"), [(0.0, 0.0), (-0.5, -0.5), (352.8, 352.8), (float("nan"),) * 2, (float("inf"),) * 2]
)
def test_an_implausible_value_is_refused_with_the_value(x: float, y: float) -> None:
    with pytest.raises(ResolutionError, match=rf"states {x:g} um/px \(test\); wanted one value from 0.05 to 20"):
        resolution("s1", stating(x, y))


def test_unequal_resolution_in_x_and_y_is_refused() -> None:
    assert resolution("s1", stating(0.5, 0.504)).mpp == pytest.approx(0.502)
    with pytest.raises(ResolutionError, match="states 0.5 x 0.51 um/px"):
        resolution("s1", stating(0.5, 0.51))
