"""Annotations by class: what QuPath writes, as exact areas, and back."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.tissue.annotations import annotation_classes, annotations_text, class_digests
from wsi_features.tissue.geojson import mask_from_geojson, to_text
from wsi_features.tissue.objects import Polygon

SLIDE = Size(4000, 2400)
BLOCK = [[100, 200], [1300, 200], [1300, 1000], [100, 1000], [100, 200]]
HOLE = [[400, 400], [400, 600], [700, 600], [700, 400], [400, 400]]


def feature(coordinates: Any, classification: Any = "Tumor", kind: str = "Polygon", **properties: Any) -> Any:
    geometry = {"type": kind, "geometries" if kind == "GeometryCollection" else "coordinates": coordinates}
    about = {"objectType": "annotation", "classification": classification} if classification else {}
    return {"type": "Feature", "geometry": geometry, "properties": about | properties}


def collection(*features: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


def classes(*features: Any) -> dict[str, Polygon]:
    return annotation_classes(collection(*features), slide_id="s1", source="s1.geojson", slide=SLIDE)


def areas(*features: Any) -> dict[str, float]:
    return {name: area.area for name, area in classes(*features).items()}


def test_every_class_has_its_own_area_with_its_holes() -> None:
    found = areas(
        feature([BLOCK, HOLE]), feature([HOLE], {"name": "Necrosis", "color": [1, 2, 3]}), feature([HOLE], None)
    )
    assert found == {"Necrosis": 60_000, "Tumor": 960_000 - 60_000, "Unclassified": 60_000}


@pytest.mark.parametrize("named", ["Tumor: Positive", {"name": "Tumor: Positive"}, {"names": ["Tumor", "Positive"]}])
def test_a_derived_class_is_not_its_base(named: Any) -> None:
    assert areas(feature([BLOCK], named), feature([HOLE])) == {"Tumor": 60_000, "Tumor: Positive": 960_000}


def test_objects_of_one_class_that_overlap_count_once() -> None:
    assert areas(feature([BLOCK]), feature([HOLE]), feature([[[x + 1200, y] for x, y in BLOCK]])) == {
        "Tumor": 1_920_000
    }


def test_children_and_members_of_collections_are_found_and_points_have_no_area() -> None:
    parts = [
        {"type": "Polygon", "coordinates": [HOLE]},
        {"type": "MultiPolygon", "coordinates": [[[[x + 2000, y] for x, y in HOLE]]]},
        {"type": "LineString", "coordinates": [[0, 0], [9, 9]]},
    ]
    child = feature(parts, "Stroma", "GeometryCollection", childObjects=[feature([[3, 3]], "Cell", "MultiPoint")])
    assert areas(feature([BLOCK], childObjects=[child])) == {"Stroma": 120_000, "Tumor": 960_000}


def test_a_core_that_is_missing_is_left_out_with_what_lies_in_it() -> None:
    core = feature([BLOCK], None, objectType="tma_core", isMissing=True, childObjects=[feature([HOLE])])
    assert areas(core, feature([HOLE], "Stroma", isMissing=False)) == {"Stroma": 60_000}


def test_an_ellipse_is_the_polygon_that_qupath_writes_of_it() -> None:
    ellipse = feature([BLOCK])
    ellipse["geometry"] |= {"isEllipse": True, "plane": {"c": -1, "z": 0, "t": 0}}
    assert areas(ellipse) == {"Tumor": 960_000}


def test_a_damaged_collection_and_outlines_of_another_slide_are_refused() -> None:
    with pytest.raises(AnnotationError, match="'s1.geojson' are not a GeoJSON.*a GeometryCollection is damaged"):
        classes(feature(7, "Tumor", "GeometryCollection"))
    with pytest.raises(AnnotationError, match="beyond the slide's 4000 x 2400"):
        classes(feature([HOLE]), feature([[[x + 3300, y] for x, y in BLOCK]], "Stroma"))


def test_areas_come_back_exactly_where_nothing_is_rasterised() -> None:
    wobbly = [[x + 0.125 * y % 3, y + 0.25] for x, y in BLOCK[:-1]]
    sent = classes(feature([wobbly, HOLE]), feature([[BLOCK], [[[x + 2000, y] for x, y in HOLE]]], "B", "MultiPolygon"))
    text = annotations_text(sent, extra={"slide_id": "s1"})
    back = annotation_classes(text, slide_id="s1", source="f", slide=SLIDE)
    assert list(back) == ["B", "Tumor"]
    for name, area in sent.items():
        assert back[name].symmetric_difference(area).area < 1e-6 * area.area
    assert annotations_text(back, extra={"slide_id": "s1"}) == text


def test_outlines_with_holes_keep_their_area_within_a_thousandth_through_the_mask() -> None:
    slide, size = Size(60_013, 41_399), Size(1876, 1294)  # 0.25 um/px, and a mask of 8 um/px
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    wave = 1 + 0.1 * np.sin(7 * turn)
    around = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    rings = [((r * wave)[:, None] * around + [28_000, 20_000]).tolist() for r in (14_000, 5_000)]
    text = collection(feature(rings, "Tissue"))
    mask = mask_from_geojson(text, slide_id="s", source="f", slide=slide, size=size, annotation_class="Tissue")
    back = to_text(mask, mpp=0.25, class_name="Tissue", extra={})
    found = annotation_classes(back, slide_id="s", source="f", slide=slide)["Tissue"]
    assert found.area == pytest.approx(shapely.Polygon(rings[0], rings[1:]).area, rel=1e-3)


@pytest.mark.parametrize("name", ["Tumor \\ud800", "Zellhaufen \u00e4"])
def test_a_class_name_is_text_whatever_json_says(name: str) -> None:
    (found,) = annotation_classes(
        collection(feature([BLOCK], "NAME")).replace("NAME", name), slide_id="s1", source="f", slide=SLIDE
    )
    assert found.encode().decode() == found


WORDS = st.sampled_from(
    ["type", "Feature", "features", "geometry", "properties", "Polygon", "coordinates", "geometries"]
)
LEAVES = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=3), WORDS)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


@settings(max_examples=100, deadline=None)
@given(TREES, TREES, st.sampled_from(["Polygon", "MultiPolygon", "GeometryCollection", "Point"]))
def test_whatever_json_says_it_has_classes_or_is_an_annotation_error(drawn: Any, named: Any, kind: str) -> None:
    for found in (feature(drawn, kind=kind), feature([BLOCK], named, childObjects=drawn), named):
        with contextlib.suppress(AnnotationError):
            assert all(area.is_valid and area.area > 0 for area in classes(found).values())
        with contextlib.suppress(AnnotationError):
            assert all(len(d) == 64 for d in class_digests(collection(found), slide_id="s1", source="f").values())


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"type": "Feat', collection(feature([[[0, 0], [9, 0], [8, 9]]])).replace("8", "1e999")]
)
def test_digests_of_damaged_files_are_refused(text: str) -> None:
    with pytest.raises(AnnotationError, match="'s1.geojson' are not a GeoJSON"):
        class_digests(text, slide_id="s1", source="s1.geojson")


def test_digests_are_of_the_areas_of_one_class_only() -> None:
    def digests(*features: Any) -> dict[str, str]:
        return class_digests(collection(*features), slide_id="s1", source="f")

    other = feature([HOLE], "Necrosis")
    first = digests(feature([BLOCK]), feature([HOLE], name="core 1"), other)
    assert first == digests(other, feature([HOLE], isLocked=True), feature([BLOCK]))
    moved = digests(feature([BLOCK]), feature([[[x + 1, y] for x, y in HOLE]]), other)
    assert (moved["Necrosis"] == first["Necrosis"], moved["Tumor"] == first["Tumor"]) == (True, False)
