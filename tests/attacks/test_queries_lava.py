"""A score-based attack on Lava's own simulation: the same answers as on the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.attacks.images.foolbox_named import FoolboxAttack
from neurorobust.attacks.images.square import Square
from neurorobust.attacks.queries import counted
from neurorobust.backends.lava.backend import LavaBackend
from neurorobust.budgets import ImageBudget

pytestmark = pytest.mark.lava


def test_queries_run_on_lava(spiking):
    classifier = spiking(readout="membrane", steps=6)
    x = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(5))
    labels = classifier.predict(x)
    attacks = {
        "linf": (Square(queries=5), ImageBudget(0.1)),
        "l2": (FoolboxAttack("HopSkipJump", queries=6), ImageBudget(0.5, "l2")),
    }
    with LavaBackend(classifier.backend.model) as backend:
        for attack, budget in attacks.values():
            target = counted(replace(classifier, backend=backend))
            seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
            found = attack(target, x, labels, budget, seeds[0])
            assert torch.equal(found, attack(classifier, x, labels, budget, seeds[1]))
            assert target.tally.samples is not None
            assert 1 <= int(target.tally.samples.max()) <= attack.queries
