"""The losses, against plain loops and finite differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.mil.training.losses import brier_score, cox_loss, weighted_cross_entropy

CASES = st.lists(st.tuples(st.floats(-4, 4), st.integers(1, 5), st.booleans()), min_size=2, max_size=12)


def plain_cox(risk: list[float], time: list[float], event: list[bool]) -> float:
    """Efron's partial likelihood as it is written down: one moment after the other."""
    total = 0.0
    for moment in sorted({t for t, e in zip(time, event, strict=True) if e}):
        at_risk = sum(math.exp(r) for r, t in zip(risk, time, strict=True) if t >= moment)
        dead = [r for r, t, e in zip(risk, time, event, strict=True) if t == moment and e]
        for gone, r in enumerate(dead):
            total -= r - math.log(at_risk - gone / len(dead) * sum(map(math.exp, dead)))
    return total / max(1, sum(event))


def tensors(case: list[tuple[float, int, bool]]) -> list[torch.Tensor]:
    return [torch.tensor([one[k] for one in case], dtype=torch.float64) for k in range(3)]


@given(CASES)
@settings(max_examples=80, deadline=None)
def test_cox_is_efrons_partial_likelihood_whatever_the_order_and_ties(case: list[tuple[float, int, bool]]) -> None:
    wanted = plain_cox(*(list(column) for column in zip(*case, strict=True)))  # type: ignore[arg-type]
    assert cox_loss(*tensors(case)).item() == pytest.approx(wanted, abs=1e-9)
    assert cox_loss(*tensors(case[::-1])).item() == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_the_slope_of_cox_is_what_small_steps_find(seed: int) -> None:
    rng = np.random.default_rng(seed)
    risk = torch.tensor(rng.normal(size=9), requires_grad=True)
    time, event = torch.tensor(rng.integers(1, 4, 9).astype(float)), torch.tensor([1.0, 1, 1, 0, 1, 0, 1, 1, 0])
    assert torch.autograd.gradcheck(lambda r: cox_loss(r, time, event), (risk,))


def test_cox_knows_only_differences_of_risk_and_stays_finite() -> None:
    time, event = torch.tensor([3.0, 1, 2, 2]), torch.tensor([1.0, 1, 1, 1])
    risk = torch.tensor([0.5, -1, 2, 0])
    torch.testing.assert_close(cox_loss(risk + 300, time, event), cox_loss(risk, time, event), rtol=1e-4, atol=1e-4)
    steep = torch.tensor([400.0, -400, 0, 1], requires_grad=True)
    cox_loss(steep, time, event).backward()
    assert steep.grad is not None
    assert torch.isfinite(steep.grad).all()


def test_without_events_cox_is_nothing_to_learn_from() -> None:
    assert cox_loss(torch.ones(3), torch.tensor([1.0, 2, 3]), torch.zeros(3)).item() == 0


def test_a_rare_class_weighs_as_its_weight_says() -> None:
    logits, label = torch.tensor([[2.0, 0], [0, 1], [1, 1]]), torch.tensor([0, 1, 0])
    each = torch.tensor([torch.nn.functional.cross_entropy(logits[k], label[k]).item() for k in range(3)])
    found = weighted_cross_entropy(logits, label, torch.tensor([0.75, 1.5]))
    torch.testing.assert_close(found, (each * torch.tensor([0.75, 1.5, 0.75])).mean())


def test_the_brier_score_is_that_of_scikit_learn_and_has_a_bound() -> None:
    from sklearn.metrics import brier_score_loss

    logits = torch.tensor([[2.0, -1.0], [0.5, 0.7], [-40.0, 40.0]], dtype=torch.float64)
    label = torch.tensor([0, 1, 0])
    wanted = brier_score_loss(label, torch.softmax(logits, 1)[:, 1])  # of two classes it counts one of them
    assert brier_score(logits, label).item() == pytest.approx(2 * wanted)
    assert brier_score(logits[2:], label[2:]).item() == pytest.approx(2)
    weighted = brier_score(logits, label, torch.tensor([0.5, 2.0], dtype=torch.float64))
    assert weighted.item() == pytest.approx(
        (0.5 * brier_score(logits[::2], label[::2]) * 2 + 2 * brier_score(logits[1:2], label[1:2])).item() / 3
    )
