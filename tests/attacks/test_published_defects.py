"""Mistakes found in published attack code on spiking networks: each would be caught here.

Those that concern attacks on images; what concerns defences, certificates and statistics is tested
where those live.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from neurorobust.attacks import find
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.images.autoattack import Apgd
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.images.sa_pgd import SaPgd
from neurorobust.attacks.oracle import Oracle
from neurorobust.backends.base import InProcess
from neurorobust.budgets import ImageBudget
from neurorobust.datasets.base import Dataset
from neurorobust.encoders import DirectEncoder, PoissonEncoder
from neurorobust.errors import BadInput
from neurorobust.evaluation import Request, evaluate, load_samples
from neurorobust.evaluation.query import unpack
from neurorobust.records import Card, EncoderCard

ATTACKS = (
    Pgd(steps=4, draws=3),
    SaPgd(steps=4, draws=3),
    Apgd(steps=4, draws=3),
    replace(find("mi-fgsm"), steps=4, draws=3),
)
named = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def card(kind: str) -> Card:
    encoder = EncoderCard(kind=kind, mean=0.5, std=0.5)
    return Card(encoder=encoder, steps=12, readout="count")


class Remembering(PoissonEncoder):
    """Keeps every draw."""

    def _draw(self, x, generator):
        spikes = super()._draw(x, generator)
        self.__dict__.setdefault("seen", []).append(spikes.to(torch.uint8))
        return spikes


def test_an_average_over_draws_that_keeps_only_the_last(spiking):
    classifier, labels = spiking("poisson"), torch.arange(5) % 4
    x = torch.rand(5, 1, 4, 4, generator=seeded(1))
    one, four = Gradient(draws=1), Gradient(draws=4)
    generator = seeded(7)
    singles = [one.start(classifier)(x, labels, generator)[0] for _ in range(4)]
    mean = four.start(classifier)(x, labels, seeded(7))[0]
    assert torch.allclose(mean, sum(singles) / 4, atol=1e-6)
    assert not torch.allclose(mean, singles[-1], atol=1e-3)
    oracle = Oracle(classifier, x, labels, ImageBudget(1.0), seeded(7), draws=4)
    single = Oracle(classifier, x, labels, ImageBudget(1.0), seeded(7), draws=1)
    answers = [single(x)] + [single(x) for _ in range(3)]
    assert torch.allclose(oracle(x), sum(answers) / 4, atol=1e-5)


@named
def test_one_noise_for_the_whole_batch_or_for_all_draws(spiking, attack):
    """Equal pixels, so that equal coins give equal spikes: no draw is used twice."""
    classifier = replace(spiking("poisson"), encoder=Remembering((16, 1, 1), 12))
    x = torch.full((3, 1, 4, 4), 0.5)
    attack(classifier, x, torch.tensor([0, 1, 2]), ImageBudget(0.01), seeded())
    draws = classifier.encoder.seen
    assert len(draws) >= 4 * 3
    assert len({row.numpy().tobytes() for draw in draws for row in draw}) == 3 * len(draws)


@named
def test_coins_kept_from_the_query_to_the_score(spiking, attack, tmp_path):
    """The score of the evaluation is a fresh draw, none that the attack has seen.

    x meets the same coins: epsilon is large enough that they make other spikes of it.
    """
    encoder = Remembering((16, 1, 1), 12)
    classifier = replace(spiking("poisson"), encoder=encoder)
    x, labels = torch.full((3, 1, 4, 4), 0.5), torch.tensor([0, 1, 2])
    data = Dataset("made", "test", x, labels, 3)
    request = Request([attack], {"eps": ["0.1"]})
    evaluate(classifier, data, request, card=card("poisson"), out=tmp_path / "run")
    packed = load_samples(tmp_path / "run")[f"drawn/eps=0.1/{attack.name}"]
    drawn = unpack(packed, (16, 1, 1, 12))
    rows = [row.numpy().tobytes() for draw in encoder.seen for row in draw]
    assert all(rows.count(row.numpy().tobytes()) == 1 for row in drawn)


@named
def test_another_datasets_normalisation_inside_the_attack(spiking, attack):
    """The budget is in pixels; what the encoder normalises with is the encoder's own."""
    plain = spiking()
    sharp = replace(plain, encoder=replace(plain.encoder, mean=0.1307, std=0.3081))
    x = torch.rand(6, 1, 4, 4, generator=seeded(2))
    labels, attack = sharp.predict(x), replace(attack, stop=False)
    found = attack(sharp, x, labels, ImageBudget(0.05), seeded())
    assert 0.045 < float((found - x).abs().max()) <= 0.05 + 1e-6
    other = attack(plain, x, labels, ImageBudget(0.05), seeded())
    assert not torch.equal(found, other), "the encoder's normalisation was not used"


@named
def test_normalised_images_with_bounds_0_and_1(spiking, attack):
    normalised = (torch.rand(4, 1, 4, 4, generator=seeded(2)) - 0.1307) / 0.3081
    with pytest.raises(BadInput, match=r"outside \[0, 1\]"):
        attack(spiking(), normalised, torch.arange(4), ImageBudget(0.1), seeded())


@named
def test_axes_reshaped_where_they_should_be_permuted(linear, attack):
    """Two channels of 3 x 4: every pixel moves as its own weight says."""
    slope = torch.randn(2, 3, 4, generator=seeded(3))
    classifier = linear(torch.stack([-slope.flatten(), slope.flatten()]))
    x = torch.full((2, 2, 3, 4), 0.5)
    labels = torch.tensor([0, 1])
    attack = replace(attack, steps=40, stop=False)
    found = attack(classifier, x, labels, ImageBudget(0.1), seeded())
    away = torch.stack([slope.sign(), -slope.sign()])
    assert torch.equal((found - x).sign(), away)
    gradient = attack.gradient(classifier, x, labels, seeded())
    assert torch.equal(gradient.sign(), away)


class Integral(InProcess):
    """A backend that refuses what no chip takes, and hands on the rest."""

    name = "engine"
    about, query_batch = "a double for tests", 64

    def __init__(self, backend) -> None:
        self.inner, self.model, self.asked = backend, backend.model, 0

    def check(self, inputs) -> None:
        values = inputs.values.detach()
        assert torch.equal(values, values.round()), "fractional inputs"
        if not inputs.driven:
            assert set(values.unique().tolist()) <= {0.0, 1.0}
        self.asked += 1

    def run(self, inputs, record=(), clock="aligned"):
        self.check(inputs)
        return self.inner.run(inputs, record, clock)

    def forward(self, inputs, surrogate):
        self.check(inputs)
        return self.inner.forward(inputs, surrogate)


@named
@pytest.mark.parametrize("encoder", ["drive", "poisson"])
def test_fractional_spikes_inside_the_loop(spiking, attack, encoder: str):
    classifier = spiking(encoder)
    classifier = replace(classifier, backend=Integral(classifier.backend))
    x = torch.rand(4, 1, 4, 4, generator=seeded(2))
    labels = classifier.predict(x, seeded())
    attack(classifier, x, labels, ImageBudget(0.02), seeded())
    assert classifier.backend.asked >= 4
    with pytest.raises(BadInput, match=r"holds 0.5, neither 0 nor 1"):
        DirectEncoder((16, 1, 1)).forward(torch.full((1, 16, 1, 1, 3), 0.5))


@dataclass(frozen=True)
class GivesUp:
    """Breaks nothing: the clean input for some samples, rubbish for the others."""

    name = "gives-up"
    norms = ("linf",)
    kind = "eps"
    access = "none"
    control = False

    def __call__(self, classifier, x, labels, budget, generator):
        """NaN for the first sample, x for the rest."""
        proposal = x.clone()
        proposal[0] = torch.nan
        return proposal


def test_failures_returned_as_clean_and_left_out_of_the_mean(spiking):
    classifier = spiking()
    x = torch.rand(10, 1, 4, 4, generator=seeded(2))
    right = classifier.predict(x)
    labels = torch.where(torch.arange(10) < 8, right, (right + 1) % 4)
    data = Dataset("made", "test", x, labels, 4)
    record = evaluate(classifier, data, Request([GivesUp()], {"eps": ["0.1"]}), card=card("drive"))
    rate = record.robust["eps"]["0.1"].by_attack["gives-up"]
    assert (rate.success.correct, rate.success.total) == (0, 8)
    assert (rate.correct, rate.total, rate.failed) == (8, 10, 1)
