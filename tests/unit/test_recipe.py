from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from wsi_features.recipe import Recipe, canonical_json, digest, fingerprint
from wsi_features.tiles.recipe import TileRecipe


class Old(Recipe):
    width: int = 10


class Newer(Recipe):
    historical: ClassVar[dict[str, Any]] = {"smooth": False}

    width: int = 10
    smooth: bool = False


def test_a_field_added_later_leaves_old_fingerprints_alone_until_it_is_used() -> None:
    old = fingerprint("tiles", 1, Old(), [], "c")
    assert fingerprint("tiles", 1, Newer(), [], "c") == old
    assert fingerprint("tiles", 1, Newer(smooth=True), [], "c") != old


@pytest.mark.parametrize(
    "changed",
    [
        ("stain", 1, Old(), ["a", "b"], "c"),
        ("tiles", 2, Old(), ["a", "b"], "c"),
        ("tiles", 1, Old(width=11), ["a", "b"], "c"),
        ("tiles", 1, Old(), ["b", "a"], "c"),
        ("tiles", 1, Old(), ["a"], "c"),
        ("tiles", 1, Old(), ["a", "b"], "d"),
    ],
)
def test_a_fingerprint_covers_stage_version_recipe_inputs_and_content(changed: Any) -> None:
    assert fingerprint(*changed) != fingerprint("tiles", 1, Old(), ["a", "b"], "c")


def test_fingerprints_are_the_same_in_every_release() -> None:
    found = fingerprint("tiles", 1, TileRecipe(size=256, mpp=0.5), ["up"], "content")
    assert found == "1a95c53349871b6a9c28d1319cacf583341ada75d4602db2acdc4954f9496c0d"


def test_canonical_json_does_not_depend_on_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})


def test_a_recipe_refuses_unknown_fields_and_change() -> None:
    with pytest.raises(ValidationError, match="widht"):
        Old(widht=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="frozen"):
        Old().width = 3  # type: ignore[misc]
