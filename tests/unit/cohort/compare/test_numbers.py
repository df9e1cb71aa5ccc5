"""Numbers of tiles and features, against plain slow ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_features.cohort.compare.baseline import Sample, baseline, sampled_pairs, wrong_cosines
from wsi_features.cohort.compare.numbers import FeatureMoments, joined, tile_numbers
from wsi_features.cohort.compare.value_hints import rounded

finite = st.floats(-100, 100, width=32)
two_sides = st.tuples(arrays(np.float32, (5, 3), elements=finite), arrays(np.float32, (5, 3), elements=finite))


@settings(max_examples=30, deadline=None)
@given(two_sides)
def test_numbers_of_tiles_are_those_of_their_definition(sides: tuple[np.ndarray, np.ndarray]) -> None:
    one, two = (side.astype(np.float64) for side in sides)
    found = tile_numbers(*sides)
    for k, (a, b) in enumerate(zip(one, two, strict=True)):
        lengths = np.linalg.norm(a), np.linalg.norm(b)
        assert found.max_abs[k] == pytest.approx(np.abs(a - b).max(), rel=1e-6)
        assert bool(found.equal[k]) == bool((a == b).all())
        if min(lengths) > 1e-3:
            assert found.cosine[k] == pytest.approx(a @ b / lengths[0] / lengths[1], abs=1e-6)
            assert found.relative[k] == pytest.approx(np.linalg.norm(a - b) / max(lengths), rel=1e-5, abs=1e-7)


def test_a_vector_of_zeros_is_like_itself_and_unlike_all_others() -> None:
    found = tile_numbers(np.array([[0.0, 0], [0, 0]]), np.array([[0.0, 0], [3, 4]]))
    assert found.cosine.tolist() == [1, 0]
    assert found.relative.tolist() == [0, 1]


def test_a_tile_without_finite_features_has_no_numbers() -> None:
    found = tile_numbers(np.array([[1.0, 2], [np.nan, 1], [1, 1]]), np.array([[1.0, 2], [1, 1], [np.inf, 1]]))
    assert found.finite.tolist() == [True, False, False]
    assert np.isnan(found.cosine).tolist() == np.isnan(found.max_abs).tolist() == [False, True, True]
    assert found.equal.tolist() == found.bfloat16.tolist() == [True, False, False]


@pytest.mark.parametrize(("kind", "share"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
@settings(max_examples=30, deadline=None)
@given(values=arrays(np.float32, (2, 4), elements=st.floats(-60000, 60000, width=32)))
def test_rounding_to_a_type_stays_within_its_rounding(kind: str, share: float, values: np.ndarray) -> None:
    found = tile_numbers(values, rounded(values, kind))
    assert getattr(found, kind).all()
    big = np.abs(values) > 1e-3
    assert not getattr(tile_numbers(values, np.where(big, values * (1 + 4 * share), values)), kind)[
        big.any(axis=1)
    ].any()


def test_bfloat16_is_rounded_as_torch_does(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    values = (rng.normal(0, 1, 4000) * 10.0 ** rng.integers(-6, 6, 4000)).astype(np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(rounded(values, "bfloat16"), expected)


def test_moments_joined_of_parts_are_those_of_the_whole(rng: np.random.Generator) -> None:
    one = rng.normal(1000, 2, (40, 5))
    two = one * [1, 2, -1, 0.5, 1] + rng.normal(0, 0.5, (40, 5)) + [0, 3, 0, 0, 8]
    parts = [FeatureMoments.of(one[k : k + 13], two[k : k + 13]) for k in (0, 13, 26, 39)]
    found = parts[0].joined(parts[1]).joined(parts[2]).joined(parts[3])
    assert found.n == 40
    np.testing.assert_allclose(
        found.correlations, [np.corrcoef(one[:, k], two[:, k])[0, 1] for k in range(5)], rtol=1e-9
    )
    np.testing.assert_allclose(found.scales, two.std(axis=0) / one.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.shifts, (two - one).mean(axis=0) / one.std(axis=0), rtol=1e-9)


def test_blocks_of_numbers_are_joined_in_their_order(rng: np.random.Generator) -> None:
    one, two = rng.normal(size=(600, 4)), rng.normal(size=(600, 4))
    parts = joined([tile_numbers(one[:333], two[:333]), tile_numbers(one[333:], two[333:])])
    np.testing.assert_array_equal(parts.cosine, tile_numbers(one, two).cosine)


def test_cosines_near_one_mean_nothing_where_wrong_pairs_have_them_too(rng: np.random.Generator) -> None:
    noise = rng.normal(0, 0.02, (90, 30))
    one, two = (noise[:50] + 1).astype(np.float32), (rng.normal(0, 0.02, (50, 30)) + 1).astype(np.float32)
    found = baseline(Sample(one, two, np.arange(50)))
    assert found is not None
    assert found.matched > 0.999
    assert found.shuffled == pytest.approx(found.matched, abs=1e-3)
    assert found.retrieval < 0.2
    assert abs(found.same_feature) < 0.2


def test_standardised_features_find_themselves_whatever_their_scales(rng: np.random.Generator) -> None:
    one = rng.normal(0, 1, (300, 12)).astype(np.float32)
    found = baseline(Sample(one, one * np.arange(1, 13, dtype=np.float32) - 7, np.arange(300)))
    assert found is not None
    assert (found.retrieval, found.among) == (1.0, 256)
    assert found.same_feature == pytest.approx(1)
    assert found.other_feature < 0.1


def test_few_tiles_and_flat_features_have_no_baseline(rng: np.random.Generator) -> None:
    few, flat = rng.normal(size=(5, 3)).astype(np.float32), np.ones((40, 3), np.float32)
    assert baseline(Sample(few, few, np.arange(5))) is None
    assert baseline(Sample(flat, flat, np.arange(40))) is None


def test_wrong_pairs_are_all_wrong() -> None:
    one = np.eye(7, dtype=np.float32)
    assert wrong_cosines(Sample(one, one, np.arange(7))).tolist() == [0] * 7


def test_the_sample_is_spread_over_all_pairs() -> None:
    assert sampled_pairs(5).tolist() == [0, 1, 2, 3, 4]
    picked = sampled_pairs(50_000)
    assert (len(picked), picked[0], picked[-1]) == (1024, 0, 49_999)
