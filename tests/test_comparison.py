from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.comparison import compare
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput

FAST = replace(ATTACKS["pgd-linf"], steps=6, draws=2)


def pictures(classifier, samples: int = 90, wrong: int = 9) -> Dataset:
    x = torch.rand(samples, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = classifier.predict(x, torch.Generator().manual_seed(0))
    y[:wrong] = (y[:wrong] + 1) % 4
    return Dataset("toy", "test", x, y, 4)


def cells(comparison) -> dict:
    return {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}


def test_a_network_compared_with_itself(spiking):
    classifier = spiking()
    told = []
    (one, two) = compare(
        classifier, classifier, pictures(classifier), epsilons=["0.02", "0.1"], attack=FAST,
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
    (comparison,) = compare(floating, deployed, data, epsilons=["1/4"])
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
    (comparison,) = compare(floating, deployed, data, epsilons=["0.1"], attack=FAST)
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


def test_proposals_that_fail_break_nothing(spiking):
    class Lost:
        name, domain, white_box = "lost", "images", True

        def __call__(self, classifier, x, labels, budget, generator):
            return torch.full_like(x, torch.nan)

    classifier = spiking()
    (comparison,) = compare(
        classifier, classifier, pictures(classifier, 20, 0), epsilons=["0.1"], attack=Lost()
    )
    assert {rate.correct for rate in cells(comparison).values()} == {0}


def test_spikes_are_compared_with_flips(spiking):
    classifier = spiking("direct")
    x = (torch.rand(20, 16, 1, 1, 12, generator=torch.Generator().manual_seed(0)) < 0.3).to(
        torch.uint8
    )
    data = Dataset("events", "test", x, classifier.predict(x), 4)
    (comparison,) = compare(classifier, classifier, data, epsilons=["10"], attack="spike-topk")
    assert comparison.epsilon == "10"
    assert cells(comparison)["float", "float"].correct > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attack": "random"}, "attack 'random': no white-box attack"),
        ({"attack": "spike-topk"}, "attack 'spike-topk': needs spikes, toy holds images"),
        ({"attack": "cw"}, "attack 'cw': unknown"),
        ({"epsilons": []}, "attack 'pgd-linf': needs a budget, give eps"),
        ({"epsilons": ["2"]}, "eps '2': outside"),
    ],
)
def test_what_cannot_be_compared_is_refused(spiking, settings, message: str):
    classifier = spiking()
    with pytest.raises(BadInput, match=message):
        compare(
            classifier, classifier, pictures(classifier, 5, 0), **{"epsilons": ["0.1"]} | settings
        )


def test_both_networks_need_gradients(spiking):
    class Blind:
        name = "blind"

    classifier = spiking()
    Blind.model, Blind.run = classifier.backend.model, classifier.backend.run
    blind = replace(classifier, backend=Blind())
    with pytest.raises(BadInput, match="the deployed network's backend blind has no gradients"):
        compare(classifier, blind, pictures(classifier, 5, 0), epsilons=["0.1"])
