from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neurorobust.assess.compare import compare
from neurorobust.attacks import ATTACKS
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import Request, evaluate, load_samples
from neurorobust.records import Card, EncoderCard

FAST = replace(ATTACKS["pgd-linf"], steps=6, draws=2)


def pictures(classifier, samples: int = 90, wrong: int = 9) -> Dataset:
    x = torch.rand(samples, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = classifier.predict(x, torch.Generator().manual_seed(0))
    y[:wrong] = (y[:wrong] + 1) % 4
    return Dataset("toy", "test", x, y, 4)


def asked(*budgets: str, attack="pgd-linf", kind: str = "eps", seed: int = 0) -> Request:
    return Request([attack], {kind: budgets}, seed=seed, compare_with=attack)


def cells(comparison) -> dict:
    return {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}


def test_a_network_compared_with_itself(spiking):
    classifier = spiking()
    told = []
    (one, two) = compare(
        classifier, classifier, pictures(classifier), asked("0.02", "0.1", attack=FAST),
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert (one.epsilon, two.epsilon, one.attack) == ("0.02", "0.1", "pgd-linf")
    for comparison in (one, two):
        found = cells(comparison)
        sides = ("float", "deployed")
        assert list(found) == [(crafted, scored) for crafted in sides for scored in sides]
        assert comparison.flips == 0
        assert comparison.clean_float == comparison.clean_deployed
        assert (comparison.clean_float.correct, comparison.clean_float.total) == (81, 90)
        assert found["float", "float"] == found["float", "deployed"]
        assert found["deployed", "deployed"] == found["deployed", "float"]
        assert {rate.total for rate in found.values()} == {81}
    assert cells(two)["float", "float"].correct > cells(one)["float", "float"].correct
    assert told[-1] == (4, 4, "eps=0.1/pgd-linf")


def test_the_two_by_two_on_paper(linear):
    """Float says 0 where a >= b, deployed where 2a >= b; both attacks lower a and raise b by eps.

    With eps = 1/4 float falls where a - b < 1/2, deployed where 2a - b < 3/4.
    """
    floating = linear(torch.tensor([[1.0, 0], [0, 1]]))
    deployed = linear(torch.tensor([[2.0, 0], [0, 1]]))
    x = torch.tensor([[0.9, 0.1], [0.6, 0.3], [0.5, 0.3], [0.4, 0.1], [0.3, 0.4]]).view(5, 1, 1, 2)
    data = Dataset("paper", "test", x, torch.zeros(5).long(), 2)
    (comparison,) = compare(floating, deployed, data, asked("1/4"))
    assert comparison.flips == 1  # the last one: 0.3 < 0.4 <= 0.6
    assert (comparison.clean_float.correct, comparison.clean_deployed.correct) == (4, 5)
    found = {key: (rate.correct, rate.total) for key, rate in cells(comparison).items()}
    assert found == {
        ("float", "float"): (3, 4),
        ("float", "deployed"): (2, 4),
        ("deployed", "float"): (3, 4),
        ("deployed", "deployed"): (2, 4),
    }
    assert comparison.discordant == (0, 1)  # the second sample stands on deployed only
    assert comparison.mcnemar_p == 1.0


def test_success_is_conditioned_on_both_and_mcnemar_is_paired(spiking):
    floating, deployed = spiking(seed=3), spiking(seed=1)
    data = pictures(floating, 120, 0)
    (comparison,) = compare(floating, deployed, data, asked("0.1", attack=FAST))
    right = deployed.predict(data.x) == data.y
    assert 0 < int(right.sum()) < 120
    assert comparison.flips == int((~right).sum())
    assert comparison.clean_float.correct == 120
    assert comparison.clean_deployed.correct == int(right.sum())
    found = cells(comparison)
    assert {rate.total for rate in found.values()} == {int(right.sum())}
    assert found["float", "float"].correct > found["deployed", "float"].correct
    assert found["deployed", "deployed"].correct > found["float", "deployed"].correct
    # robust on float only, on deployed only: the clean mistakes of deployed count as not robust
    only_float, only_deployed = comparison.discordant
    assert only_float + only_deployed > 0
    assert 0 < comparison.mcnemar_p <= 1


class Watched:
    """An attack that notes whom it attacks."""

    name, kind, access, control = FAST.name, FAST.kind, FAST.access, False

    def __init__(self) -> None:
        self.seen = []

    def __call__(self, classifier, x, labels, budget, generator):
        self.seen.append(classifier.backend.model.sha256)
        return FAST(classifier, x, labels, budget, generator)


@pytest.mark.parametrize("kind", ["drive", "poisson"])
def test_the_deployed_network_is_attacked_once(spiking, tmp_path, kind: str):
    """The 2x2 takes what the evaluation crafted and scored: its numbers are the record's."""
    floating, deployed = spiking(kind, seed=1), spiking(kind, seed=3)
    data = pictures(deployed, 130)
    epsilons = ["0.02", "0.06"] if kind == "drive" else ["0.2", "0.4"]
    card = Card(encoder=EncoderCard(kind=kind, mean=0.0, std=1.0), steps=12, readout="count")
    record = evaluate(
        deployed, data, Request([FAST], {"eps": epsilons}, seed=5), card=card, out=tmp_path
    )
    samples = load_samples(tmp_path)
    watched = Watched()
    request = asked(*epsilons, attack=watched, seed=5)
    found = compare(floating, deployed, data, request, samples)
    assert set(watched.seen) == {floating.backend.model.sha256}
    for comparison in found:
        name = f"eps={comparison.epsilon}/pgd-linf"
        wrong = ~_right(samples, "clean")
        worse = samples.get(f"selecting/{name}", 0) < samples.get("selecting/clean", 1)
        broken = ~wrong & worse & ~_right(samples, name) & ~samples[f"failed/{name}"]
        assert comparison.clean_deployed.correct == (~wrong).sum()
        if kind == "drive":
            success = record.robust["eps"][comparison.epsilon].by_attack["pgd-linf"].success
            assert (success.correct, success.total) == (broken.sum(), (~wrong).sum())
            assert comparison.clean_deployed == record.clean
        both = cells(comparison)["deployed", "deployed"]
        right = (~wrong) & _clean_on(floating, data, 5)
        assert 0 < both.correct < both.total
        assert (both.correct, both.total) == ((broken & right).sum(), right.sum())
    assert compare(floating, deployed, data, request) == found  # the same forks, crafted anew


def _right(samples, name: str):
    """In more than half of the scoring draws, where the encoder draws."""
    if f"scoring/{name}" in samples:
        return samples[f"scoring/{name}"] > 0.5
    return samples[f"predicted/{name}"] == samples["label"]


def _clean_on(classifier, data: Dataset, seed: int):
    """Which samples are right when clean, drawn as an evaluation draws."""
    card = Card(
        encoder=EncoderCard(kind=classifier.encoder.name, mean=0.0, std=1.0),
        steps=12,
        readout="count",
    )
    with tempfile.TemporaryDirectory() as folder:
        evaluate(classifier, data, Request(seed=seed), card=card, out=Path(folder) / "run")
        samples = load_samples(Path(folder) / "run")
    return _right(samples, "clean")


def test_samples_of_other_data_are_refused(spiking):
    classifier = spiking()
    data = pictures(classifier, 10)
    samples = {"label": data.y.numpy()[:9]}
    with pytest.raises(BadInput, match="the stored samples are not those of toy"):
        compare(classifier, classifier, data, asked("0.1"), samples)


def test_proposals_that_fail_break_nothing(spiking):
    class Lost:
        name, kind, access, control = "lost", "eps", "white-box", False

        def __call__(self, classifier, x, labels, budget, generator):
            return torch.full_like(x, torch.nan)

    classifier = spiking()
    request = asked("0.1", attack=Lost())
    (comparison,) = compare(classifier, classifier, pictures(classifier, 20, 0), request)
    assert {rate.correct for rate in cells(comparison).values()} == {0}


def test_spikes_are_compared_with_flips(spiking):
    classifier = spiking("direct")
    x = (torch.rand(20, 16, 1, 1, 12, generator=torch.Generator().manual_seed(0)) < 0.3).to(
        torch.uint8
    )
    data = Dataset("events", "test", x, classifier.predict(x), 4)
    (comparison,) = compare(
        classifier, classifier, data, asked("10", attack="spike-topk", kind="flips")
    )
    assert comparison.epsilon == "10"
    assert cells(comparison)["float", "float"].correct > 0


@pytest.mark.parametrize(
    ("kind", "budgets", "attack", "message"),
    [
        ("eps", ["0.1"], "random", "attack 'random': no white-box attack"),
        ("flips", ["3"], "spike-topk", "attack 'spike-topk': needs spikes, toy holds images"),
        ("eps", ["0.1"], "cw", "attack 'cw': unknown"),
        ("eps", [], "pgd-linf", "attack 'pgd-linf': needs a budget, give --eps 0.1"),
        ("eps", ["2"], "pgd-linf", "eps '2': outside"),
    ],
)
def test_what_cannot_be_compared_is_refused(spiking, kind, budgets, attack: str, message: str):
    classifier = spiking()
    data = pictures(classifier, 5, 0)
    with pytest.raises(BadInput, match=message):
        compare(classifier, classifier, data, asked(*budgets, attack=attack, kind=kind))


def test_a_request_that_names_no_attack_to_compare_with_is_refused(spiking):
    classifier = spiking()
    with pytest.raises(BadInput, match="compare_with: no attack, need a white-box one"):
        compare(classifier, classifier, pictures(classifier, 5, 0), Request())


def test_both_networks_need_gradients(spiking):
    class Blind:
        name = "blind"

    classifier = spiking()
    Blind.model, Blind.run = classifier.backend.model, classifier.backend.run
    blind = replace(classifier, backend=Blind())
    with pytest.raises(BadInput, match="the deployed network's backend blind has no gradients"):
        compare(classifier, blind, pictures(classifier, 5, 0), asked("0.1"))
