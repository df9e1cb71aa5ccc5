"""Fingerprints: what changes them, what does not, and their values, which later releases must keep."""

from dataclasses import replace

import pytest

from wsi_features.config import Config, config_from
from wsi_features.stages.annotated import Drawn
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.lineage import Lineage, feature_set_hash

SLIDE = Lineage("s1", "c" * 64, {"mpp": None})

GOLDEN = {
    "preflight": "bdf44d0fb930",
    "tissue": "47c940d53960",
    "tiles": "ffb6a1a0f0ed",
    "stain": "ebb965f42f10",
    "embed": "6b06f9863155",
    "set": "05bf443a",
}
"""First digits for the default config and a slide of known content."""

UNMEASURED = GOLDEN | {"embed": "f936f934fe0f", "set": "4d5dde97"}
"""The same without quality columns, as in the releases that had none."""


def fingerprints(slide: Lineage, config: Config) -> dict[str, str]:
    plan = encoder_plans(config)[0]
    encoder = {"card": plan.card.canonical(), "weights": "", "precision": plan.precision}
    return {
        "preflight": slide.preflight(),
        "tissue": slide.tissue(config),
        "tiles": slide.tiles(config, plan.tiles),
        "stain": slide.stain(config),
        "embed": slide.embed(config, plan.tiles, encoder),
        "set": feature_set_hash(config, plan.tiles, encoder),
    }


def changed(slide: Lineage, **sections: object) -> set[str]:
    before, after = fingerprints(SLIDE, Config()), fingerprints(slide, config_from(sections, "test"))
    return {stage for stage in before if before[stage] != after[stage]}


def test_golden_fingerprints() -> None:
    assert {stage: value[:12] for stage, value in fingerprints(SLIDE, Config()).items()} == GOLDEN


def test_without_quality_columns_stores_of_earlier_releases_stay_valid() -> None:
    found = fingerprints(SLIDE, config_from({"quality": {"measure": False}}, "test"))
    assert {stage: value[:12] for stage, value in found.items()} == UNMEASURED


@pytest.mark.parametrize(
    ("sections", "stages"),
    [
        ({"tissue": {"mpp": 4.0}}, {"tissue", "tiles", "stain", "embed", "set"}),
        ({"tiles": {"overlap": 8}}, {"tiles", "embed", "set"}),
        ({"tiles": {"size": 256, "mpp": 0.5}}, set()),
        ({"stain": {"method": "macenko"}}, {"stain", "embed", "set"}),
        ({"stain": {"seed": 5}}, set()),
        ({"stain": {"on_bad_fit": "raw", "non_he": "raw"}}, set()),
        ({"read": {"min_coverage": 0.5}}, {"embed", "set"}),
        ({"read": {"colour": "srgb"}}, {"stain", "embed", "set"}),
        ({"read": {"interpolation": "bicubic"}}, {"embed", "set"}),
        ({"tiles": {"upsample": True}}, {"tiles", "embed", "set"}),
        ({"quality": {"preset": "suggested", "thresholds": {"eosin_od": {"min": 0.1}}}}, set()),
        ({"quality": {"preset": "suggested", "drop": True}}, {"embed", "set"}),
        ({"quality": {"drop": True}}, set()),
        ({"quality": {"measure": False}}, {"embed", "set"}),
        ({"tiles": {"sample": 9}}, {"tiles", "embed", "set"}),
        ({"tiles": {"nested": "parents", "factors": [2]}}, {"tiles", "embed", "set"}),
        ({"tiles": {"seed": 7}}, set()),
        ({"tuning": {"batch": 3, "workers": 7, "device": "cpu"}}, set()),
        ({"report": {"figures": 0}, "out": "elsewhere"}, set()),
    ],
)
def test_a_recipe_changes_its_stage_and_later_ones_only(sections: dict[str, object], stages: set[str]) -> None:
    assert changed(SLIDE, **sections) == stages


def test_another_stain_in_the_manifest_counts_only_where_such_slides_are_left_raw() -> None:
    other = replace(SLIDE, he=False)
    assert changed(other) == set()
    for policy, apart in (("apply", False), ("raw", True)):
        config = config_from({"stain": {"method": "macenko", "non_he": policy}}, "test")
        assert (SLIDE.stain(config) != other.stain(config)) == apart


@pytest.mark.parametrize(
    ("slide", "stages"),
    [
        (replace(SLIDE, content="d" * 64), {"preflight", "tissue", "tiles", "stain", "embed"}),
        (replace(SLIDE, declared={"mpp": 0.25}), {"preflight", "tissue", "tiles", "stain", "embed"}),
        (replace(SLIDE, declared={"mpp": None, "scene": "1"}), {"preflight", "tissue", "tiles", "stain", "embed"}),
        (replace(SLIDE, coordinates="a" * 64), {"tiles", "embed"}),
        (
            replace(SLIDE, drawn=Drawn("a.geojson", "a" * 64, classes={"Tissue": "b" * 64})),
            {"tissue", "tiles", "stain", "embed"},
        ),
        (replace(SLIDE, slide_id="other"), set()),
    ],
)
def test_the_slide_changes_everything_made_of_it_but_never_the_folder(slide: Lineage, stages: set[str]) -> None:
    assert changed(slide) == stages
