import numpy as np
import pytest

from wsi_features.errors import ResolutionError
from wsi_features.slides import ArraySlide, MppCandidate, resolution
from wsi_features.slides.resolution import nominal_candidate, tiff_candidate

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


def test_the_first_usable_candidate_is_chosen() -> None:
    slide = ArraySlide(PIXELS)
    shown, second, third = (
        MppCandidate("a", 0.3, 0.3, usable=False),
        MppCandidate("b", 0.4, 0.4),
        MppCandidate("c", 1, 1),
    )
    slide.mpp_candidates = (shown, second, third)
    assert (resolution("s1", slide).mpp, resolution("s1", slide).source) == (0.4, "b")


def test_candidates_that_are_only_shown_are_named_and_never_used() -> None:
    slide = ArraySlide(PIXELS)
    slide.mpp_candidates = (MppCandidate("guess", 0.5, 0.5, usable=False),)
    with pytest.raises(ResolutionError, match=r"looked at: array reader, guess, not usable, manifest.*column `mpp`"):
        resolution("s1", slide)


def test_resolution_tags_are_turned_into_microns_per_pixel() -> None:
    assert tiff_candidate(20_000, 40_000, "centimeter") == MppCandidate("tiff resolution", 0.5, 0.25)
    assert tiff_candidate(25_400, 50_800, "inch") == MppCandidate("tiff resolution", 1.0, 0.5)


@pytest.mark.parametrize("dpi", [72, 96, 150, 200, 300, 600])
def test_a_display_resolution_is_shown_and_not_usable(dpi: int) -> None:
    for per_unit, unit in ((dpi, "inch"), (dpi / 2.54, "centimeter")):
        found = tiff_candidate(per_unit, per_unit, unit)
        assert found
        assert found.x == pytest.approx(25_400 / dpi)
        assert not found.usable


@pytest.mark.parametrize(("x", "y"), [(25_400, 72), (72, 25_400)])
def test_both_directions_have_to_be_plausible(x: float, y: float) -> None:
    found = tiff_candidate(x, y, "inch")
    assert found
    assert not found.usable


@pytest.mark.parametrize(
    ("x", "y", "unit"),
    [
        (1, 1, "none"),
        (0, 1, "inch"),
        (1, 0, "inch"),
        (None, 1, "inch"),
        (1, float("nan"), "inch"),
        (float("inf"), 1, "inch"),
    ],
)
def test_tags_that_say_nothing_are_no_candidate(x: float | None, y: float | None, unit: str) -> None:
    assert tiff_candidate(x, y, unit) is None


def test_the_nominal_of_an_objective_is_never_usable() -> None:
    assert nominal_candidate(40) == MppCandidate("objective power (nominal)", 0.25, 0.25, usable=False)
    assert [nominal_candidate(power) for power in (None, 0, -20, float("nan"))] == [None] * 4
