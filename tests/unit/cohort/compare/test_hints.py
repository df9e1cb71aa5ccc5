"""Every hint from the fault that it is of, made on purpose; and none from another."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.cohort.compare.conftest import CORNERS, DIM, SPAN, provenance, side, smooth
from wsi_features.cohort.compare.recipes import recipe_differences
from wsi_features.cohort.compare.slide import Compared, compared
from wsi_features.cohort.compare.value_hints import rounded
from wsi_features.errors import CompareError

Values = npt.NDArray[Any]
Judge = Callable[..., Compared]


def kinds(found: Compared) -> list[str]:
    return [hint.kind for hint in found.hints]


def test_equal_numbers_are_identical(judge: Judge, features: Values) -> None:
    found = judge(features, features.copy())
    assert (found.verdict, kinds(found)) == ("identical", ["identical"])


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_rounding_is_told_with_its_type_and_its_side(judge: Judge, features: Values, kind: str) -> None:
    found, back = judge(features, rounded(features, kind)), judge(rounded(features, kind), features)
    assert found.verdict == back.verdict == "equal within rounding"
    assert f"B is A rounded to {kind}" in found.hints[0].text
    assert f"A is B rounded to {kind}" in back.hints[0].text


def test_arithmetic_of_another_order_is_likely_and_half_precision_only_possible(
    judge: Judge, features: Values, rng: np.random.Generator
) -> None:
    def noisy(size: float) -> Values:
        return (features * (1 + rng.normal(0, size, features.shape))).astype(np.float32)

    assert judge(features, noisy(1e-7)).verdict == "equal within rounding"
    near_zero = features - features.mean(axis=0)
    single = compared(
        "s1", side(near_zero), side(near_zero + rng.normal(0, 3e-6, features.shape).astype(np.float32)), 1.0
    )
    assert [(hint.kind, hint.certainty) for hint in single.hints] == [("arithmetic", "likely")]
    half = compared(
        "s1", side(near_zero), side(near_zero + rng.normal(0, 2e-3, features.shape).astype(np.float32)), 1.0
    )
    assert ("precision", "possible") in [(hint.kind, hint.certainty) for hint in half.hints]


def test_unit_length_is_told_of_the_side_that_has_it(judge: Judge, features: Values) -> None:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert judge(features, unit).hints[0].text.startswith("B is A with each vector divided by its length")
    found = judge(unit.astype(np.float16), features)
    assert found.verdict == "same features, transformed"
    assert found.hints[0].text.startswith("A is B with each vector divided by its length")


def test_one_factor_for_all_is_told(judge: Judge, features: Values) -> None:
    (hint,) = judge(features, features * np.float32(0.125)).hints
    assert (hint.kind, "B is A times 0.125" in hint.text) == ("factor", True)


def test_a_part_is_told_with_its_columns(judge: Judge, features: Values, rng: np.random.Generator) -> None:
    whole = np.concatenate([features, smooth(rng, CORNERS, 10)], axis=1)
    assert "B is a part of A: its features are columns 24 to 33" in judge(whole, whole[:, 24:]).hints[0].text
    found = judge(features, whole)
    assert found.verdict == "same features, transformed"
    assert "A is a part of B: its features are columns 0 to 23" in found.hints[0].text
    scattered = whole[:, rng.permutation(34)[:20]]
    assert "in an order of its own" in judge(whole, scattered).hints[0].text


def test_parts_in_the_other_order_and_shuffled_columns_are_told_apart(
    judge: Judge, features: Values, rng: np.random.Generator
) -> None:
    turned = judge(features, np.concatenate([features[:, 10:], features[:, :10]], axis=1))
    (hint,) = (hint for hint in turned.hints if hint.kind == "order")
    assert hint.numbers["cut"] == 10
    assert "B begins with A's columns from 10 on" in hint.text
    assert "permuted" in kinds(judge(features, features[:, rng.permutation(DIM)]))


def test_a_scale_and_shift_for_each_feature_are_told(judge: Judge, features: Values, rng: np.random.Generator) -> None:
    moved = features * rng.uniform(0.3, 3, DIM) + rng.normal(0, 2, DIM)
    assert kinds(judge(features, moved.astype(np.float32))) == ["affine"]
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    (hint,) = judge(features, standard).hints
    assert "standardised on them" in hint.text


def test_a_linear_map_is_told(judge: Judge, features: Values, rng: np.random.Generator) -> None:
    found = judge(features, (features @ rng.normal(0, 1, (DIM, 11))).astype(np.float32))
    assert (found.verdict, kinds(found)) == ("same features, transformed", ["linear"])
    assert found.hints[0].text.startswith("B is a linear map of A")


def test_vectors_on_other_rows_are_told(judge: Judge, features: Values, rng: np.random.Generator) -> None:
    found = judge(features, features[rng.permutation(len(features))])
    assert "rows" in kinds(found)
    assert "permuted" not in kinds(found)


def test_other_weights_are_different_however_high_the_cosine(
    judge: Judge, features: Values, rng: np.random.Generator
) -> None:
    other = (smooth(rng, CORNERS) / 20 + 4).astype(np.float32)
    found = judge(features / 20 + 4, other)
    assert found.evidence.tiles is not None
    assert found.evidence.tiles.cosine.min() > 0.99
    assert (found.verdict, kinds(found)) == ("different", ["weights"])


def test_other_widths_without_a_relation_are_different(
    judge: Judge, features: Values, rng: np.random.Generator
) -> None:
    found = judge(features, smooth(rng, CORNERS, 17))
    assert (found.verdict, kinds(found)) == ("different", ["width"])


def test_noise_of_one_encoder_is_other_pixels_and_no_cause_is_claimed(
    judge: Judge, features: Values, rng: np.random.Generator
) -> None:
    found = judge(features, (features + rng.normal(0, 0.2, features.shape)).astype(np.float32))
    assert found.verdict == "same encoder, other pixels"
    assert [(hint.kind, hint.certainty) for hint in found.hints] == [("pixels", "possible")]


@pytest.mark.parametrize(
    ("dx", "dy", "side_named"), [(0.4, 0, "to the right of"), (-0.4, 0, "to the left of"), (0, 0.4, "below")]
)
def test_features_of_pixels_beside_their_positions_are_told_with_the_direction(
    judge: Judge, dx: float, dy: float, side_named: str
) -> None:
    def seen(corners: Values) -> Values:
        return smooth(np.random.default_rng(5), corners, 200)

    found = judge(seen(CORNERS), seen(CORNERS + np.array([dx, dy]) * SPAN))
    (hint,) = (hint for hint in found.hints if hint.kind == "displaced")
    assert f"B shows what lies {side_named} its positions" in hint.text
    assert hint.certainty == "likely"


def test_centres_are_told_from_a_shifted_grid_by_the_features(
    judge: Judge, features: Values, rng: np.random.Generator
) -> None:
    half = CORNERS + SPAN / 2
    centres = judge(features, features, half, layout="slideflow")
    assert centres.verdict == "identical"
    assert "B holds centres as slideflow stores them" in centres.hints[0].text
    assert "A holds centres" in judge(features, features, CORNERS - SPAN / 2).hints[0].text
    shifted = judge(features, (features + rng.normal(0, 0.9, features.shape)).astype(np.float32), half)
    assert "share 25% of their area" in next(h.text for h in shifted.hints if h.kind == "grid_shift")
    assert "scanned area" in judge(features, features, CORNERS + np.array([777, -30])).hints[0].text


def test_frames_are_told_with_the_remedy(judge: Judge, features: Values) -> None:
    assert "Multiply them by 4" in judge(features, features, CORNERS / 4, span=SPAN / 4).hints[0].text
    assert judge(features, features, CORNERS[:, ::-1]).hints[0].kind == "swapped"
    found = judge(features, features + 1, CORNERS - SPAN / 2, span=2.0 * SPAN)
    assert next(h for h in found.hints if h.kind == "footprint").numbers["ratio"] == 2
    assert "near" in kinds(found)


def test_rows_are_taken_in_order_where_there_are_no_positions_and_that_is_said(judge: Judge, features: Values) -> None:
    found = judge(features, features, None)
    assert (found.verdict, found.evidence.by_order, found.hints[0].kind) == ("identical", True, "order_taken")
    valid = np.arange(len(features)) != 7
    of_valid = compared("s1", side(features, valid=valid), side(features[valid], None), 1.0)
    assert of_valid.verdict == "identical"
    with pytest.raises(CompareError, match=r"has 50 rows and .* 40 rows.*Give the file that holds coordinates"):
        compared("s1", side(features[:50], None), side(features[:40], None), 1.0)


def test_what_cannot_be_compared_is_refused(judge: Judge, features: Values) -> None:
    with pytest.raises(CompareError, match="in none of .* pairs of tiles do both"):
        judge(features, np.full_like(features, np.nan))
    with pytest.raises(CompareError, match="has no tiles"):
        judge(features, features[:0], CORNERS[:0])
    with pytest.raises(CompareError, match=r"no tile of .* x 1016 to .* lies within 1 pixels"):
        judge(features, features[:9], np.random.default_rng(1).integers(90_000, 200_000, (9, 2)))


def test_few_tiles_are_not_judged(features: Values, rng: np.random.Generator) -> None:
    few = compared(
        "s1", side(features[:5], CORNERS[:5]), side(features[:5] + rng.normal(0, 1, (5, DIM)), CORNERS[:5]), 1.0
    )
    assert few.verdict == "too few tiles to tell"


def test_named_features_tell_colours_from_texture_and_channels(judge: Judge, features: Values) -> None:
    parts = {"h_p": 6, "value_": 2, "lbp_h_r1_bin": 8, "layout_h_": 8}
    names = tuple(f"{part}{k}" for part, count in parts.items() for k in range(count))
    middle = features.mean(axis=0)
    faults = {"channels": slice(0, 6), "colour": slice(0, 8), "detail": slice(8, 16), "mirrored": slice(16, 24)}
    for kind, part in faults.items():
        changed, away = features.copy(), features[:, part] - middle[part]
        changed[:, part] = middle[part] + 0.5 * away + 0.5 * away[:, ::-1]
        assert kinds(judge(features, changed, names=names)) == [kind]


def test_records_are_compared_field_by_field() -> None:
    recipe = {"stain": {"method": "macenko"}, "embed": {"read": {"interpolation": "area"}}}
    other = {"stain": {"method": "none"}, "embed": {"read": {"interpolation": "bicubic"}}}
    one, two = provenance(recipes=recipe), provenance(recipes=other, precision="fp16", versions={"numpy": "3"})
    found = {each.name: (each.one, each.two) for each in recipe_differences(one, two)}
    assert found == {
        "recipes.stain.method": ("macenko", "none"),
        "recipes.embed.read.interpolation": ("area", "bicubic"),
        "precision": ("fp32", "fp16"),
        "versions.numpy": ("2", "3"),
    }


def test_what_an_imported_store_does_not_know_is_no_difference() -> None:
    from wsi_features.store.layout import IMPORTED_VERSION

    fields = provenance(precision="bf16").to_attributes()
    kept = {
        name: value for name, value in fields.items() if name not in ("weights_sha256", "device", "stain", "bounds")
    }
    other = type(provenance()).of_attributes(kept | {"imported": {"tool": "clam"}, "format_version": IMPORTED_VERSION})
    assert [each.name for each in recipe_differences(provenance(), other)] == ["precision"]


def test_differences_of_records_become_hints(features: Values, rng: np.random.Generator) -> None:
    one = side(features, made=provenance())
    two = side(
        features + rng.normal(0, 0.1, features.shape), made=provenance(precision="fp16", slide_fingerprint="ee" * 32)
    )
    texts = " ".join(hint.text for hint in compared("s1", one, two, 1.0).hints if hint.kind == "recipe")
    assert "the slide files are not the same" in texts
    assert "another precision: precision." in texts
    same = compared("s1", one, side(features + 1e-2 * rng.normal(0, 1, features.shape), made=provenance()), 1.0)
    assert any("should be equal" in hint.text for hint in same.hints)


def test_measured_columns_tell_reading_from_what_comes_behind_it(features: Values, rng: np.random.Generator) -> None:
    noisy = features + rng.normal(0, 0.1, features.shape).astype(np.float32)
    sharp = np.linspace(1, 2, len(features)).astype(np.float32)
    one = side(features, columns={"sharpness": sharp, "eosin_od": sharp})
    equal = compared("s1", one, side(noisy, columns={"sharpness": sharp, "eosin_od": sharp}), 1.0)
    assert "same_pixels" in kinds(equal)
    blurred = compared("s1", one, side(noisy, columns={"sharpness": sharp * 0.8, "eosin_od": sharp}), 1.0)
    assert [(h.kind, h.certainty) for h in blurred.hints] == [("detail", "likely")]
    faded = compared("s1", one, side(noisy, columns={"sharpness": sharp, "eosin_od": sharp * 0.8}), 1.0)
    assert "colour" in kinds(faded)


def test_foreign_paths_name_both_files(tmp_path: Path, features: Values) -> None:
    with pytest.raises(CompareError, match=str(tmp_path / "b.npy")):
        compared("s1", side(features), side(features[:0], CORNERS[:0], path=tmp_path / "b.npy"), 1.0)
