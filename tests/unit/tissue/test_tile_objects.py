import json

import numpy as np
import pytest
import shapely

from wsi_features.tissue.tile_objects import ObjectType, tiles_text

ORIGINS = np.array([[0, 0], [512, 0], [0, 1024]])


def document(kind: ObjectType = "detection", **columns: np.ndarray) -> dict[str, object]:
    lines = tiles_text(ORIGINS, 256, columns, classes=["", "Bad", ""], kind=kind, extra={"slide_id": "s1"})
    found: dict[str, object] = json.loads("\n".join(lines))
    return found


def test_a_tile_is_a_square_with_its_values_as_measurements() -> None:
    share = np.array([0.1, np.nan, 1.0], np.float32)
    found = document(tissue_share=share, row=np.arange(3))
    assert found["wsi_features"] == {"slide_id": "s1"}
    first, bad, last = found["features"]  # type: ignore[misc] # JSON carries no types
    assert shapely.geometry.shape(last["geometry"]).bounds == (0, 1024, 256, 1280)
    assert first["properties"] == {"objectType": "detection", "measurements": {"row": 0, "tissue_share": 0.1}}
    assert bad["properties"]["measurements"] == {"row": 1}
    assert bad["properties"]["classification"] == {"name": "Bad"}


@pytest.mark.parametrize("kind", ["annotation", "tile"])
def test_tiles_are_what_is_asked_for(kind: ObjectType) -> None:
    features = document(kind)["features"]
    assert [f["properties"]["objectType"] for f in features] == [kind] * 3  # type: ignore[attr-defined] # as above


def test_no_tiles_are_an_empty_collection() -> None:
    lines = tiles_text(ORIGINS[:0], 256, {}, classes=[], extra={})
    assert json.loads("\n".join(lines)) == {"type": "FeatureCollection", "features": [], "wsi_features": {}}
