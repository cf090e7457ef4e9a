"""Every norm: where a search starts, and PGD against what can be solved on paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks import ATTACKS, norms
from neurorobust.budgets import NORMS, ImageBudget, SpikeBudget, inside, project
from neurorobust.errors import BadInput

EPSILON = {"linf": 0.1, "l2": 0.7, "l1": 1.6, "l0": 3.0}
WEIGHT = torch.tensor([[5.0, -3.0, 0.5, 7.0, 2.0, -1.0], [-4.0, 6.0, 0.0, 15.0, 2.0, 1.0]])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gain(x: torch.Tensor, start: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    return ((x - start) * slope).flatten(1).sum(1)


def closed_form(x: torch.Tensor, slope: torch.Tensor, norm: str, epsilon: float) -> torch.Tensor:
    """The largest <slope, change> within the ball and the box, one sample at a time."""
    best = []
    for point, g in zip(x.flatten(1), slope.flatten(1), strict=True):
        corner = torch.where(g > 0, 1 - point, -point) * (g != 0)
        if norm == "linf":
            best.append((g * corner.clamp(-epsilon, epsilon)).sum())
        elif norm == "l0":
            best.append((g * corner).sort(descending=True)[0][: int(epsilon)].sum())
        elif norm == "l1":  # spend on the steepest entry until the box stops it, then the next
            left, total = epsilon, torch.tensor(0.0)
            for entry in g.abs().argsort(descending=True).tolist():
                spent = min(left, float(corner[entry].abs()))
                left, total = left - spent, total + spent * g[entry].abs()
            best.append(total)
        else:  # along g, entries that reach the box stay there: water filling by bisection
            low, high = 0.0, 1e3
            for _ in range(100):
                middle = (low + high) / 2
                change = torch.where(
                    g > 0, (middle * g).minimum(corner), (middle * g).maximum(corner)
                )
                low, high = (middle, high) if float(change.norm()) <= epsilon else (low, middle)
            best.append((g * change).sum())
    return torch.stack(best)


def reached(linear, name: str, budget: ImageBudget, x: torch.Tensor) -> torch.Tensor:
    """The share of the best possible gain that an attack finds on a linear network."""
    labels = torch.arange(len(x)) % 2
    slope = (WEIGHT[1 - labels] - WEIGHT[labels]).view(x.shape)
    attack = ATTACKS[f"pgd-{budget.norm}" if name == "pgd" else name]
    attack = replace(attack, stop=False)
    found = attack(linear(WEIGHT), x, labels, budget, seeded())
    assert bool(inside(found, x, budget).all())
    share = gain(found, x, slope) / closed_form(x, slope, budget.norm, budget.epsilon)
    assert float(share.max()) <= 1 + 1e-5
    return share


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["pgd", "fgsm", "mi-fgsm", "sa-pgd"])
def test_the_closed_form_on_a_linear_network(linear, name: str, norm: str):
    """Far from the box every norm's best change is known: one step of FGSM finds it too."""
    x = 0.45 + 0.1 * torch.rand(16, 1, 1, 6, generator=seeded(1))
    budget = ImageBudget({"linf": 0.1, "l2": 0.4, "l1": 0.4, "l0": 3.0}[norm], norm)
    assert float(reached(linear, name, budget, x).min()) > 0.999


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["pgd", "sa-pgd"])
def test_the_closed_form_where_the_box_cuts_the_ball(linear, name: str, norm: str):
    x = 0.1 + 0.8 * torch.rand(16, 1, 1, 6, generator=seeded(1))
    budget = ImageBudget(EPSILON[norm], norm)
    assert float(reached(linear, name, budget, x).min()) > (0.97 if norm == "l2" else 0.999)


@pytest.mark.parametrize("norm", NORMS)
def test_starts_lie_inside_and_are_each_samples_own(norm: str):
    budget = ImageBudget(EPSILON[norm], norm)
    x = torch.full((6, 2, 4, 4), 0.5)
    start = norms.start(x, budget, seeded())
    assert bool(inside(start, x, budget).all())
    assert len({tuple(row.flatten().tolist()) for row in start}) == 6
    change = (start - x).flatten(1)
    if norm == "l0":
        assert ((start != x).any(1).flatten(1).sum(1) == 3).all()
    elif norm != "linf":
        size = change.norm(dim=1) if norm == "l2" else change.abs().sum(1)
        assert torch.allclose(size, torch.full((6,), budget.epsilon), atol=1e-5)
    stretched = norms.start(x, ImageBudget(0.1), seeded(), stretch=True) - x
    assert torch.allclose(stretched.flatten(1).abs().amax(1), torch.full((6,), 0.1), atol=1e-6)


def test_starts_do_not_depend_on_the_samples_behind():
    x = torch.rand(5, 1, 4, 4, generator=seeded())
    for norm in NORMS:
        budget = ImageBudget(EPSILON[norm], norm)
        alone = norms.start(x[:1], budget, seeded(3)) - x[:1]
        assert alone.any()
        other = norms.start(torch.cat([x[:1], x[1:3]]), budget, seeded(3))
        assert torch.equal(other[:1], norms.start(torch.cat([x[:1], x[3:]]), budget, seeded(3))[:1])


def test_uniform_noise_in_the_diamond_is_fair():
    """Exponential magnitudes: the mean share of an entry is eps / n, its sign is even."""
    noise = norms.NORMS["l1"].noise(torch.Size((20000, 1, 1, 4)), 2.0, seeded()).flatten(1)
    assert torch.allclose(noise.abs().sum(1), torch.full((20000,), 2.0), atol=1e-5)
    assert torch.allclose(noise.abs().mean(0), torch.full((4,), 0.5), atol=0.01)
    assert torch.allclose(noise.mean(0), torch.zeros(4), atol=0.02)


@pytest.mark.parametrize("norm", NORMS)
def test_no_direction_means_no_step(norm: str):
    budget = ImageBudget(EPSILON[norm], norm)
    x = torch.rand(3, 1, 4, 4, generator=seeded())
    z = norms.start(x, budget, seeded())
    assert torch.equal(norms.ascend(z, x, torch.zeros_like(x), 0.1, budget), z)


def test_pixels_are_exchanged_a_few_at_a_time():
    x = torch.full((1, 1, 1, 8), 0.5)
    z = x.clone()
    z[..., :3] = 1.0
    direction = torch.arange(1.0, 9).view(1, 1, 1, 8)
    one = norms.ascend(z, x, direction, 1.0, ImageBudget(3, "l0"))
    assert (one != x).flatten().tolist() == [False, True, True, False, False, False, False, True]
    all_three = norms.ascend(z, x, direction, 3.0, ImageBudget(3, "l0"))
    assert (all_three != x).flatten().tolist() == [False] * 5 + [True] * 3


@pytest.mark.parametrize("name", ["pgd-linf", "pgd-l2", "pgd-l1", "pgd-l0"])
def test_a_budget_of_another_norm_is_refused(linear, name: str):
    x, labels = torch.rand(2, 1, 1, 6, generator=seeded()), torch.tensor([0, 1])
    own = name.removeprefix("pgd-")
    other = "l2" if own == "l1" else "l1"
    for budget in (ImageBudget(1.0, other), SpikeBudget(1)):
        with pytest.raises(BadInput, match=rf"{name}: needs a budget on images \({own}\), got"):
            ATTACKS[name](linear(WEIGHT), x, labels, budget, seeded())


def test_what_the_loop_returns_needs_no_projection(spiking):
    classifier = spiking()
    x = torch.rand(8, 1, 4, 4, generator=seeded(5))
    for norm in NORMS:
        budget = ImageBudget(EPSILON[norm], norm)
        for attack in (replace(ATTACKS["sa-pgd"], steps=4), ATTACKS["random"]):
            found = attack(classifier, x, classifier.predict(x), budget, seeded())
            assert torch.equal(project(found, x, budget)[0], found)
            assert not torch.equal(found, x)
