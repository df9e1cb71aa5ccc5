from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.tissue.geojson import mask_from_geojson, to_text
from wsi_features.tissue.mask import TissueMask

# A mask pixel is 20 x 20 level-0 pixels.
SLIDE, SIZE = Size(240, 160), Size(12, 8)
BLOCK = [[40, 20], [200, 20], [200, 120], [40, 120], [40, 20]]
HOLE = [[80, 60], [80, 100], [120, 100], [120, 60], [80, 60]]


def mask_of(text: str, wanted: str = "Tissue") -> TissueMask:
    return mask_from_geojson(text, slide_id="s1", source="s1.geojson", slide=SLIDE, size=SIZE, annotation_class=wanted)


def text_of(tissue: TissueMask, mpp: float = 0.5, **extra: object) -> str:
    return to_text(tissue, mpp=mpp, class_name="Tissue", extra=extra)


def feature(coordinates: object, classification: object = "Tissue", kind: str = "Polygon", **properties: object) -> Any:
    return {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": {"objectType": "annotation", "classification": classification, **properties},
    }


def collection(*features: object) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


def box_mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Mask with boxes of left, top, right, bottom in mask pixels."""
    mask = np.zeros((8, 12), dtype=bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


WHOLE_BLOCK = box_mask((2, 1, 10, 6))


@st.composite
def tissues(draw: st.DrawFn) -> TissueMask:
    mask = draw(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9)))
    across, down = draw(st.tuples(st.integers(1, 4000), st.integers(1, 4000)))
    return TissueMask(mask, Size(mask.shape[1] + across, mask.shape[0] + down))


@settings(max_examples=150, deadline=None)
@given(tissues())
def test_a_mask_comes_back_from_its_text_unchanged(tissue: TissueMask) -> None:
    found = mask_from_geojson(
        text_of(tissue), slide_id="s", source="f", slide=tissue.slide, size=tissue.size, annotation_class="Tissue"
    )
    assert np.array_equal(found.mask, tissue.mask)
    assert found.slide == tissue.slide


@settings(max_examples=100, deadline=None)
@given(tissues())
def test_polygons_keep_the_mask_s_area_within_a_thousandth(tissue: TissueMask) -> None:
    polygons = [shapely.geometry.shape(f["geometry"]) for f in json.loads(text_of(tissue))["features"]]
    assert all(polygon.is_valid for polygon in polygons)
    wanted = tissue.mask.sum() * tissue.scale_x * tissue.scale_y
    # A vertex is off by 0.005 pixels at most, which shows only where mask pixels are hardly larger than that.
    rounding = sum(polygon.length for polygon in polygons) * 0.005
    assert sum(polygon.area for polygon in polygons) == pytest.approx(wanted, rel=1e-3, abs=rounding)


def test_a_slide_of_usual_size_keeps_its_area_within_a_thousandth() -> None:
    mask = np.zeros((731, 938), dtype=bool)
    mask[200:500, 100:901] = True
    mask[300:350, 400:433] = False
    tissue = TissueMask(mask, Size(30_013, 23_399))
    (polygon,) = (shapely.geometry.shape(f["geometry"]) for f in json.loads(text_of(tissue))["features"])
    assert polygon.area == pytest.approx(mask.sum() * tissue.scale_x * tissue.scale_y, rel=1e-5)


def test_a_piece_is_a_qupath_annotation_in_level_0_pixels() -> None:
    (found,) = json.loads(text_of(TissueMask(box_mask((2, 1, 10, 6)), SLIDE)))["features"]
    assert found["type"] == "Feature"
    assert found["geometry"] == {"type": "Polygon", "coordinates": [BLOCK]}
    assert found["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "Tissue", "color": [0, 160, 80]},
        "isLocked": False,
        "measurements": {"Tissue area um^2": 160 * 100 * 0.25},
    }


def test_a_hole_is_an_inner_ring() -> None:
    mask = WHOLE_BLOCK & ~box_mask((4, 3, 6, 5))
    (found,) = json.loads(text_of(TissueMask(mask, SLIDE)))["features"]
    outer, hole = found["geometry"]["coordinates"]
    assert shapely.LinearRing(outer).is_ccw
    assert not shapely.LinearRing(hole).is_ccw
    assert shapely.Polygon(hole).equals(shapely.Polygon(HOLE))


def test_the_text_carries_its_provenance_and_is_the_same_for_equal_masks() -> None:
    first = text_of(TissueMask(WHOLE_BLOCK, SLIDE), fingerprint="ab12", recipe={"b": 1, "a": 2})
    assert json.loads(first)["wsi_features"] == {"fingerprint": "ab12", "recipe": {"a": 2, "b": 1}}
    assert first == text_of(TissueMask(WHOLE_BLOCK.copy(), SLIDE), recipe={"a": 2, "b": 1}, fingerprint="ab12")


def test_the_text_of_equal_masks_does_not_change_between_releases() -> None:
    text = text_of(TissueMask(box_mask((2, 1, 3, 2)), Size(121, 160)))
    assert text == (
        '{"type":"FeatureCollection","wsi_features":{},"features":[\n'
        '{"geometry":{"coordinates":[[[20.17,20],[30.25,20],[30.25,40],[20.17,40],[20.17,20]]],"type":"Polygon"},'
        '"properties":{"classification":{"color":[0,160,80],"name":"Tissue"},"isLocked":false,'
        '"measurements":{"Tissue area um^2":50.4},"objectType":"annotation"},"type":"Feature"}\n]}\n'
    )


def test_an_empty_mask_reads_back_as_an_empty_mask() -> None:
    assert mask_of(text_of(TissueMask(box_mask(), SLIDE))).is_empty


@pytest.mark.parametrize(
    "text",
    [
        collection(feature([BLOCK])),
        json.dumps([feature([BLOCK])]),
        json.dumps(feature([BLOCK])),
        collection(feature([[BLOCK]], kind="MultiPolygon")),
        collection(feature([BLOCK], classification={"name": "Tissue", "color": [200, 0, 0]})),
        collection(feature([BLOCK], classification={"name": "Tissue", "colorRGB": -3670016})),
        collection(feature([BLOCK], classification={"names": ["Tissue"], "color": [200, 0, 0]})),
        collection(feature([BLOCK[::-1]])),
        collection(feature([BLOCK[:-1]])),
        collection(feature([[[*point, 0] for point in BLOCK]])),
        collection(feature([BLOCK]), feature([5, 5], kind="Point"), feature([], kind="Polygon")),
        collection(feature([[[0, 0], [240, 0], [240, 160], [0, 0]]], "Region", childObjects=[feature([BLOCK])])),
    ],
)
def test_every_form_that_qupath_writes_gives_the_same_mask(text: str) -> None:
    assert np.array_equal(mask_of(text).mask, WHOLE_BLOCK)


def test_coordinates_are_x_then_y() -> None:
    tall = [[20, 40], [60, 40], [60, 160], [20, 160], [20, 40]]
    assert np.array_equal(mask_of(collection(feature([tall]))).mask, box_mask((1, 2, 3, 8)))


def test_holes_stay_open() -> None:
    assert np.array_equal(mask_of(collection(feature([BLOCK, HOLE]))).mask, WHOLE_BLOCK & ~box_mask((4, 3, 6, 5)))


def test_all_parts_of_a_multipolygon_count() -> None:
    parts = [[BLOCK, HOLE], [[[200, 140], [240, 140], [240, 160], [200, 160], [200, 140]]]]
    wanted = (WHOLE_BLOCK & ~box_mask((4, 3, 6, 5))) | box_mask((10, 7, 12, 8))
    assert np.array_equal(mask_of(collection(feature(parts, kind="MultiPolygon"))).mask, wanted)


def test_objects_that_overlap_are_joined() -> None:
    other = [[160, 60], [240, 60], [240, 160], [160, 160], [160, 60]]
    found = mask_of(collection(feature([BLOCK]), feature([other])))
    assert np.array_equal(found.mask, WHOLE_BLOCK | box_mask((8, 3, 12, 8)))


def test_objects_of_other_classes_do_not_count() -> None:
    whole = [[0, 0], [240, 0], [240, 160], [0, 160], [0, 0]]
    others = [feature([whole], name) for name in ("Pen", "tissue", {"name": "Tissue: Tumor"}, None)]
    assert np.array_equal(mask_of(collection(*others, feature([BLOCK]))).mask, WHOLE_BLOCK)
    assert mask_of(collection(*others), wanted="Tissue: Tumor").mask.all()


def test_a_derived_class_is_named_as_qupath_shows_it() -> None:
    found = collection(feature([BLOCK], {"names": ["Tissue", "Tumor"], "color": [1, 2, 3]}))
    assert np.array_equal(mask_of(found, wanted="Tissue: Tumor").mask, WHOLE_BLOCK)


def test_both_lobes_of_a_figure_of_eight_count() -> None:
    eight = [[0, 0], [240, 160], [240, 0], [0, 160], [0, 0]]
    mask = mask_of(collection(feature([eight]))).mask
    assert (mask[4, 0], mask[4, 11], mask[0, 6], mask[7, 6]) == (True, True, False, False)


def test_a_loop_that_runs_twice_around_is_no_hole() -> None:
    inner = [[60, 40], [180, 40], [180, 100], [60, 100], [60, 40]]
    assert np.array_equal(mask_of(collection(feature([[*BLOCK, *inner, BLOCK[0]]]))).mask, WHOLE_BLOCK)


def test_an_edited_file_of_our_own_is_read_with_the_edit() -> None:
    document = json.loads(text_of(TissueMask(WHOLE_BLOCK, SLIDE), fingerprint="ab12"))
    document["features"][0]["geometry"]["coordinates"].append(HOLE)
    assert np.array_equal(mask_of(json.dumps(document)).mask, WHOLE_BLOCK & ~box_mask((4, 3, 6, 5)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ('{"type": "Feat', "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"type": "Topology"}', "found 'Topology' where a feature belongs"),
        ("[3]", "found 'int' where a feature belongs"),
        ('{"type": "FeatureCollection"}', "found 'FeatureCollection' where a feature belongs"),
        (collection(feature([[[0, 0], [9, float("nan")], [9, 9]]])), "NaN is not a JSON number"),
        (collection(feature([[[0, 0], [9, 0], [9, 9]]])).replace("9", "1e999", 1), "a list of finite x, y"),
        (collection(feature([[[0, 0], [9, 0], [9, 9]]])).replace("9", "9" * 400, 1), "a Polygon is damaged"),
        (collection(feature([[[0, 0], [9]]])), "a Polygon is damaged"),
        (collection(feature([[[0, 0], [9, 9], [0, 0]]])), "its outlines enclose no area"),
        (collection(feature(7, kind="MultiPolygon")), "a MultiPolygon is damaged"),
        (collection(feature([[0, 0], [90, 90]], kind="LineString")), "'Tissue' have no area: LineString"),
        (collection(feature([BLOCK], kind=["Polygon"])), "'Tissue' have no area: ['Polygon']"),  # type: ignore[arg-type] # a wrong type is the point
        (collection({**feature([]), "geometry": None}), "'Tissue' have no area: None"),
    ],
)
def test_what_is_not_geojson_with_areas_is_unreadable(text: str, why: str) -> None:
    with pytest.raises(AnnotationError, match=r"slide 's1': annotations 's1.geojson' are not a GeoJSON") as caught:
        mask_of(text)
    assert why in str(caught.value)


WORDS = st.sampled_from(["type", "Feature", "features", "geometry", "properties", "Polygon", "coordinates", "Tissue"])
LEAVES = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), WORDS)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=150, deadline=None)
@given(TREES, TREES, TREES, st.sampled_from(["Polygon", "MultiPolygon", "Point"]))
def test_whatever_json_says_it_is_a_mask_or_an_annotation_error(
    coordinates: object, classification: object, other: object, kind: str
) -> None:
    for found in (feature(coordinates, kind=kind), feature([BLOCK], classification, childObjects=other), other):
        text = collection(found)
        with contextlib.suppress(AnnotationError):
            assert mask_of(text).size == SIZE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (collection(feature([BLOCK], "Tumor"), feature([BLOCK], None)), "found: 'Tumor', 'Unclassified'"),
        (collection({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [BLOCK]}}), "'Unclassified'"),
        (collection(), "no object at all"),
    ],
)
def test_a_file_without_the_class_says_which_it_has(text: str, found: str) -> None:
    with pytest.raises(AnnotationError, match="no object of class 'Tissue'") as caught:
        mask_of(text)
    assert found in str(caught.value)


@pytest.mark.parametrize(("dx", "dy"), [(-53, 0), (53, 0), (0, -29), (0, 49)])
def test_outlines_beyond_the_slide_are_refused(dx: int, dy: int) -> None:
    # 5 % beyond is 12 pixels in x and 8 in y.
    moved = [[x + dx, y + dy] for x, y in BLOCK]
    with pytest.raises(AnnotationError, match="beyond the slide's 240 x 160 level-0 pixels"):
        mask_of(collection(feature([moved])))


def test_an_outline_a_little_over_the_edge_is_clipped() -> None:
    over = [[-12, -8], [252, -8], [252, 168], [-12, 168], [-12, -8]]
    assert mask_of(collection(feature([over]))).mask.all()


def test_an_absurd_coordinate_is_refused_as_outside() -> None:
    with pytest.raises(AnnotationError, match="beyond the slide's"):
        mask_of(collection(feature([[[0, 0], [1e300, 0], [1e300, 1e300]]])))
