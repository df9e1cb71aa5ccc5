import pytest

from wsi_features.geometry import Region, Size, area_mm2

WIDE = Size(1000, 600)


def test_a_size_counts_its_pixels_and_refuses_negative_sides() -> None:
    assert WIDE.area == 600_000
    with pytest.raises(ValueError, match="got -1 x 5"):
        Size(-1, 5)


@pytest.mark.parametrize(
    ("region", "inside"),
    [
        (Region(0, 0, 1000, 600), True),
        (Region(1, 0, 1000, 600), False),
        (Region(0, 1, 1000, 600), False),
        (Region(-1, 0, 10, 10), False),
        (Region(0, -1, 10, 10), False),
        (Region(700, 10, 300, 590), True),
    ],
)
def test_a_region_is_inside_only_when_all_of_it_is(region: Region, inside: bool) -> None:
    assert region.inside(WIDE) is inside


def test_area_goes_with_the_square_of_the_resolution() -> None:
    assert area_mm2(4_000_000, 0.5) == pytest.approx(1.0)
    assert area_mm2(4_000_000, 0.25) == pytest.approx(0.25)
