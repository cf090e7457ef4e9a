"""What every registered attack promises, whatever it does."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.base import ClaimingAttack, domain
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import ImageBudget, moves, parse, project
from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder, DriveEncoder
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
)
from neurorobust.readouts import Readout

SHAPE, STEPS, BATCH = (1, 6, 6), 8, 5
BUDGETS = {
    "eps": ("0.1", "l2:0.5", "l1:2", "l0:3"),
    "flips": ("4", "insert=2+delete=1", "5+rows=1:4"),
    "shifts": ("reach=2", "reach=3+spikes=2", "reach=3+total=4"),
    "patches": ("2x3",),
}
ZERO = {
    "eps": ("0", "l2:0", "l1:0", "l0:0"),
    "flips": ("0",),
    "shifts": ("reach=0",),
    "patches": ("0x0",),
}
SMALL = {
    "steps": 4, "queries": 25, "rounds": 3, "outer": 2, "inner": 3, "targets": 2, "lives": 2,
    "moves": 60,
}  # fmt: skip


def quick(name: str) -> Any:
    """The registered attack with fewer steps; everything else as registered."""
    attack: Any = ATTACKS[name]
    if not is_dataclass(attack):
        return attack
    known = {field.name for field in fields(attack)}
    smaller = {
        key: min(value, getattr(attack, key))
        for key, value in SMALL.items()
        if key in known and isinstance(getattr(attack, key), int)
    }
    if name == "ensemble":
        smaller = {"attack": replace(attack.attack, steps=2), "modes": attack.modes[:3]}
    return replace(attack, **smaller)


@pytest.fixture(scope="module")
def networks() -> dict[str, Classifier]:
    """One random network, for images through an on-chip input layer and for spikes."""
    rng = np.random.default_rng(2)
    own = Neuron(np.array(4096), np.array(0), np.array(64))
    cuba = Neuron(*(np.array(value) for value in (1024, 256, 64)))
    entry = InputLayer(0, SHAPE, own, weight=60.0, bias=4.0)
    dense = (
        ConvLayer(1, (2, 4, 4), cuba, 2 * rng.integers(-20, 60, (2, 1, 3, 3))),
        FlattenLayer(2, (32, 1, 1)),
        DenseLayer(3, (5, 1, 1), cuba, 2 * rng.integers(-40, 50, (5, 32))),
    )
    readout = Readout("count", 1.0)
    return {
        "images": Classifier(
            DriveEncoder(SHAPE, 60.0, 4.0, 0.5, 0.5, STEPS),
            EngineBackend(NetxModel(SHAPE, (entry, *dense), sha256="1" * 64)),
            readout,
        ),
        "spikes": Classifier(
            DirectEncoder(SHAPE),
            EngineBackend(NetxModel(SHAPE, (entry, *dense), sha256="1" * 64)),
            readout,
        ),
    }


def samples(classifier: Classifier, domain: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(BATCH, *SHAPE, generator=generator)
    if domain == "spikes":
        x = (torch.rand(BATCH, *SHAPE, STEPS, generator=generator) < 0.3).to(torch.uint8)
    return x, classifier.predict(x)


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cases(budgets: dict[str, tuple[str, ...]]) -> list[Any]:
    """Every attack with every budget that it takes."""
    found = []
    for name, attack in ATTACKS.items():
        for typed in budgets[attack.kind]:
            budget = parse(attack.kind, typed)
            norms = getattr(attack, "norms", None)
            if norms and isinstance(budget, ImageBudget) and budget.norm not in norms:
                continue
            found.append(pytest.param(name, typed, id=f"{name}-{typed}"))
    return found


def run(networks: Any, name: str, typed: str, seed: int = 7, rows: slice = slice(None)) -> Any:
    attack = quick(name)
    domain = "images" if attack.kind == "eps" else "spikes"
    x, labels = samples(networks[domain], domain)
    budget = parse(attack.kind, typed)
    found = attack(networks[domain], x[rows], labels[rows], budget, seeded(seed))
    return found, x[rows], budget


@pytest.mark.parametrize(("name", "typed"), cases(BUDGETS))
def test_inside_deterministic_and_without_side_effects(networks, name: str, typed: str):
    attack = quick(name)
    domain = "images" if attack.kind == "eps" else "spikes"
    x, labels = samples(networks[domain], domain)
    before, state, numpy = x.clone(), torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    truth = labels.clone()
    budget = parse(attack.kind, typed)
    first = attack(networks[domain], x, labels, budget, seeded())
    assert first.dtype == x.dtype
    assert first.shape == x.shape
    assert torch.isfinite(first).all()
    assert not project(first, x, budget)[1].any()  # beyond rounding: the evaluation projects that
    if domain == "spikes":
        assert set(first.unique().tolist()) <= {0, 1}
    else:
        assert 0 <= float(first.min()) <= float(first.max()) <= 1
    if attack.kind == "shifts":
        assert torch.equal(first.sum(-1), x.sum(-1))
        assert not moves(first, x).broken.any()
    assert torch.equal(x, before)
    assert torch.equal(labels, truth)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002
    again = attack(networks[domain], x, labels, budget, seeded())
    assert torch.equal(again, first)


CLAIMING = [name for name, attack in ATTACKS.items() if isinstance(attack, ClaimingAttack)]


def test_attacks_that_grade_themselves_say_what_they_believe():
    assert {"pgd-linf", "sa-pgd", "apgd-ce", "fab-t", "square"} <= set(CLAIMING)


@pytest.mark.parametrize(
    ("name", "typed"), [case for case in cases(BUDGETS) if case.values[0] in CLAIMING]
)
def test_claims_are_what_a_deterministic_network_says_again(networks, name: str, typed: str):
    attack, budget = quick(name), parse(ATTACKS[name].kind, typed)
    network = networks[domain(attack)]
    x, labels = samples(network, domain(attack))
    made = attack.propose(network, x, labels, budget, seeded())
    assert torch.equal(made.x, attack(network, x, labels, budget, seeded()))
    assert torch.equal(made.claimed, network.predict(made.x) != labels)


@pytest.mark.parametrize(("name", "typed"), cases(ZERO))
def test_a_zero_budget_returns_the_input(networks, name: str, typed: str):
    found, x, _ = run(networks, name, typed)
    assert torch.equal(found, x)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_one_sample_is_a_batch(networks, name: str):
    attack = ATTACKS[name]
    norms = getattr(attack, "norms", None)
    typed = next(
        text for text in BUDGETS[attack.kind]
        if not norms or getattr(parse(attack.kind, text), "norm", norms[0]) in norms
    )  # fmt: skip
    found, x, budget = run(networks, name, typed, rows=slice(1, 2))
    assert found.shape == x.shape
    assert not project(found, x, budget)[1].any()


@pytest.mark.parametrize("name", list(ATTACKS))
def test_attacks_say_what_they_are(name: str):
    attack = ATTACKS[name]
    assert attack.name == name
    assert attack.kind in BUDGETS
    assert attack.access in ("white-box", "transfer", "score", "decision", "none")
    assert attack.control == (attack.access == "none") or not attack.control
    text = type(attack).__doc__ or ""
    assert "Threat model:" in text
    assert hasattr(attack, "gradient") == (attack.access == "white-box")
