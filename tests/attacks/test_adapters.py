"""Our attacks called as Foolbox's and torchattacks' are; other networks to transfer from."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from neurorobust.attacks import find, settings
from neurorobust.attacks.torch_classifier import twin
from neurorobust.attacks.transfer import Transfer
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.budgets import ImageBudget
from neurorobust.errors import BadInput
from neurorobust.evaluation.adapters import FoolboxCall, TorchattacksCall

PGD = replace(find("pgd-linf"), steps=8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def digits(spiking):
    classifier = spiking(readout="membrane")
    x = torch.rand(12, 1, 4, 4, generator=seeded(5))
    return classifier, x, classifier.predict(x)


def test_the_triple_of_foolbox(digits):
    classifier, x, labels = digits
    face = FoolboxCall(PGD)
    raw, clipped, success = face(classifier, x, labels, epsilons=[0.0, 0.02, 0.3])
    assert len(raw) == len(clipped) == 3
    assert success.shape == (3, 12)
    assert success.dtype == torch.bool
    assert torch.equal(clipped[0], x)
    assert not success[0].any()
    assert int(success[1].sum()) < int(success[2].sum())
    for adversarial, wrong in zip(clipped, success, strict=True):
        assert torch.equal(classifier.predict(adversarial) != labels, wrong)
    one = face(classifier, x, labels, epsilons=0.3)
    assert torch.equal(one[1], clipped[2])
    assert torch.equal(one[2], success[2])
    round_face = FoolboxCall(replace(find("pgd-l2"), steps=4), norm="l2")
    _, clipped, _ = round_face(classifier, x, labels, epsilons=1.5)
    assert float((clipped - x).flatten(1).norm(dim=1).max()) <= 1.5 + 1e-5
    with pytest.raises(BadInput, match=r"eps 2 outside \[0, 1\]"):
        face(classifier, x, labels, epsilons=2)


def test_the_call_of_torchattacks(digits):
    classifier, x, labels = digits
    attack = TorchattacksCall(classifier, PGD, "64/255", seed=3)
    found = attack(x, labels)
    assert float((found - x).abs().max()) <= 64 / 255 + 1e-6
    assert torch.equal(TorchattacksCall(classifier, PGD, "64/255", seed=3)(x, labels), found)
    assert not torch.equal(attack(x, labels), found), "the stream of random numbers goes on"
    named = TorchattacksCall(classifier, find("random"), ImageBudget(2.0, "l2"))
    assert named(x, labels).shape == x.shape


def test_a_twin_without_spikes_is_attacked_and_carries_over(linear):
    """Two linear networks that agree but for noise: what breaks one mostly breaks the other."""
    weight = torch.randn(3, 16, generator=seeded(1))
    target = linear(weight)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3, bias=False))
    with torch.no_grad():
        module[1].weight.copy_(weight + 0.1 * torch.randn(3, 16, generator=seeded(2)))
    module.train()
    source = twin(module, (1, 1, 16), 3)
    x = torch.rand(20, 1, 1, 16, generator=seeded(3))
    labels, budget = target.predict(x), ImageBudget(0.2)
    attack = Transfer(source, PGD, "ann")
    assert (attack.name, attack.access, attack.kind) == ("transfer:ann:pgd-linf", "transfer", "eps")
    found = attack(target, x, labels, budget, seeded())
    wrong = int((target.predict(found) != labels).sum())
    noise = find("random")(target, x, labels, budget, seeded())
    assert wrong > 2 * int((target.predict(noise) != labels).sum()) + 3
    assert module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    told = settings(attack)
    assert (told["attack"]["name"], told["attack"]["steps"]) == ("pgd-linf", 8)
    assert told["source"] == f"module {source.backend.model.sha256[:12]}"


def test_a_target_without_gradients_is_enough(digits):
    classifier, x, labels = digits
    blind = replace(classifier, backend=ReferenceBackend(classifier.backend.model))
    attack, budget = Transfer(classifier, PGD), ImageBudget(0.1)
    direct = PGD(classifier, x, labels, budget, seeded())
    assert torch.equal(attack(blind, x, labels, budget, seeded()), direct)
    with pytest.raises(BadInput, match="transfer:float:pgd-linf: backend reference has no grad"):
        Transfer(blind, PGD)


def test_a_module_of_another_shape_is_refused():
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(BadInput, match=r"twin: the module gives \(1, 3\), need \(1, 4\)"):
        twin(module, (1, 4, 4), 4)
    with pytest.raises(BadInput, match=r"pixels: images \(1, 5, 5\), the module takes"):
        twin(module, (1, 4, 4), 3).predict(torch.rand(1, 1, 5, 5, generator=seeded()))
