"""Provenance survives JSON, and refuses what would not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from wsi_features.recipe import canonical_json
from wsi_features.store import Provenance


def test_it_returns_equal_from_its_attributes(samples: Any) -> None:
    made = samples.provenance(7)
    assert Provenance.of_attributes(made.to_attributes()) == made


def test_attributes_do_not_depend_on_the_order_of_names(samples: Any) -> None:
    one = samples.provenance(7, versions={"a": "1", "b": "2"}, recipes={"x": {"p": 1, "q": 2}, "y": {}})
    other = samples.provenance(7, versions={"b": "2", "a": "1"}, recipes={"y": {}, "x": {"q": 2, "p": 1}})
    assert repr(one.to_attributes()) == repr(other.to_attributes())


def test_tuples_of_a_card_become_lists_at_once(samples: Any) -> None:
    assert samples.provenance(7).encoder["mpp_range"] == [0.4, 0.6]


def test_the_area_and_both_downsamples_come_back_where_they_are_known(samples: Any) -> None:
    made = samples.provenance(7, scanned_area=(5, 7, 900, 800), level_downsample_xy=(2.0, 2.5))
    assert Provenance.of_attributes(made.to_attributes()) == made
    assert not {"scanned_area", "level_downsample_xy"} & samples.provenance(7).to_attributes().keys()


def test_an_unknown_field_is_refused_when_writing(samples: Any) -> None:
    with pytest.raises(ValidationError, match="scanner_user"):
        samples.provenance(7, scanner_user="me")


def test_an_unknown_attribute_is_skipped_when_reading(samples: Any) -> None:
    made = samples.provenance(7)
    assert Provenance.of_attributes({**made.to_attributes(), "added_later": 1}) == made


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slide_id", "../s1"),
        ("slide_id", ".s1"),
        ("fingerprint", "AB" * 32),
        ("weights_sha256", "none"),
        ("status", "failed"),
        ("mpp_native", 0.0),
        ("mpp_native", float("nan")),
        ("mpp_effective", float("inf")),
        ("span", 512.0),
        ("tile_px", "256"),
        ("slide_size", (100, -1)),
        ("device", "cuda:1"),
        ("encoder", {"dim": 3}),
        ("encoder", {"name": "e", "mean": np.zeros(3)}),
        ("stain", {"matrix": [float("nan")]}),
        ("recipes", {"tiles": {"note": "\ud800"}}),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(samples: Any, field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        samples.provenance(7, **{field: value})


@pytest.mark.parametrize("field", ["licence", "mpp_source"])
def test_text_that_has_no_bytes_is_refused_at_once(samples: Any, field: str) -> None:
    with pytest.raises(ValidationError, match="surrogates not allowed"):
        samples.provenance(7, **{field: "\ud800"})


def test_a_field_that_is_missing_is_named_when_reading(samples: Any) -> None:
    attributes = samples.provenance(7).to_attributes()
    del attributes["mpp_source"]
    with pytest.raises(ValueError, match="mpp_source"):
        Provenance.of_attributes(attributes)


def test_attributes_are_plain_json_in_sorted_order(samples: Any) -> None:
    attributes = samples.provenance(7).to_attributes()
    assert list(attributes) == sorted(attributes)
    assert canonical_json(attributes)
    assert attributes["slide_size"] == [2512, 1012]
