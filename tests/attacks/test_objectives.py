from __future__ import annotations

import pytest
import torch

from neurorobust.attacks import objectives
from neurorobust.attacks.best import Best, Standing
from neurorobust.attacks.gradients import Gradient

LOGITS = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, -7.0], [4.0, 4.0, 4.0]])
LABELS = torch.tensor([0, 2, 1])


def test_the_margin_is_positive_where_another_class_wins():
    assert objectives.margin(LOGITS, LABELS).tolist() == [-1.0, 12.0, 0.0]


def test_the_gradient_of_the_margin_names_both_classes():
    logits = LOGITS.clone().requires_grad_()
    objectives.margin(logits, LABELS)[:2].sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[-1, 0, 1], [0, 1, -1], [0, 0, 0]]


@pytest.mark.parametrize("power", [-20, -3, 0, 11])
def test_the_normalised_margin_does_not_know_powers_of_two(power: int):
    scaled = objectives.normalised_margin(LOGITS * 2.0**power, LABELS)
    assert torch.equal(scaled, objectives.normalised_margin(LOGITS, LABELS))
    assert scaled.abs().max() <= 1


def test_a_spread_of_zero_divides_by_nothing():
    assert torch.equal(objectives.normalised_margin(torch.zeros(1, 3), LABELS[:1]), torch.zeros(1))


def test_averaging_sums_over_independent_draws(spiking):
    """An average that overwrites instead of adding up returns the last of these."""
    classifier = spiking("poisson")
    x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(5) % 4
    generator = torch.Generator().manual_seed(7)
    single, averaged = Gradient(draws=1), Gradient(draws=4)
    singles = [single.start(classifier)(x, labels, generator)[0] for _ in range(4)]
    assert not torch.equal(singles[0], singles[3])
    together = torch.Generator().manual_seed(7)
    mean, standing = averaged.start(classifier)(x, labels, together)
    assert torch.allclose(mean, sum(singles) / 4, atol=1e-6)
    again = objectives.mean_standing(classifier, x, labels, torch.Generator().manual_seed(7), 4)
    assert torch.equal(standing.margin, again.margin)
    assert torch.equal(standing.broken, again.broken)


def test_a_tie_that_the_readout_loses_is_a_success():
    """Equal spike counts go to the lower class: the same margin of 0 is a success or a failure."""
    standing = objectives.standing(torch.tensor([[4.0, 4.0], [4.0, 4.0]]), torch.tensor([0, 1]))
    assert standing.margin.tolist() == [0, 0]
    assert standing.broken.tolist() == [0, 1]
    best = Best.start(torch.zeros(2, 1))
    best.update(torch.ones(2, 1), Standing(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0])))
    best.update(torch.full((2, 1), 2.0), Standing(torch.tensor([0.0, 0]), torch.tensor([9.0, 9])))
    best.update(torch.full((2, 1), 3.0), Standing(torch.tensor([0.0, 0]), torch.tensor([9.0, 9])))
    assert best.x.flatten().tolist() == [1, 2]
