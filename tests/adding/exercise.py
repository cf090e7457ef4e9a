"""What each added member must do, asked by its name; run as a program, all of them.

Used twice: on a copy of the package with the patch, and after user code has registered the member.
"""

from __future__ import annotations

import dataclasses
import json
import traceback
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import neurorobust
from neurorobust.attacks import find
from neurorobust.attacks.controls import control_of
from neurorobust.attacks.modes import PLAIN, find_mode
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.registry import open_backend
from neurorobust.budgets import inside, parse
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation import Request, evaluate
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron
from neurorobust.records import Card, EncoderCard
from neurorobust.report import words
from neurorobust.surrogates import BackwardMode, Surrogate
from neurorobust.training import TrainOptions
from neurorobust.training.defences import find_defence

STEPS = 8
SHAPE = (1, 2, 3)


def model() -> NetxModel:
    """6-5-3, with biases."""
    rng = np.random.default_rng(0)
    neuron = Neuron(*(np.array(value) for value in (1024, 256, 64)))
    return NetxModel(
        (6, 1, 1),
        (
            DenseLayer(0, (5, 1, 1), neuron, 2 * rng.integers(-40, 60, (5, 6)), np.arange(5)),
            DenseLayer(1, (3, 1, 1), neuron, 2 * rng.integers(-40, 60, (3, 5))),
        ),
        sha256="0" * 64,
    )


def network(encoder: str = "latency", readout: str = "count") -> Network:
    """The same, fed and read as a card says."""
    card = Card(encoder=EncoderCard(kind=encoder), steps=STEPS, readout=readout)
    return Network("six", model(), card)


def images(samples: int = 6) -> torch.Tensor:
    return torch.rand(samples, *SHAPE, generator=torch.Generator().manual_seed(1))


def spikes(samples: int = 6) -> torch.Tensor:
    return (images(samples)[..., None] > torch.linspace(0.1, 0.9, STEPS)).to(torch.uint8)


def attacked(classifier: Classifier, x: torch.Tensor, kind: str, typed: str, *names: str) -> Any:
    """The record of an evaluation on what the classifier gets right."""
    data = Dataset("six", "test", x, classifier.predict(x), 3)
    return evaluate(classifier, data, Request(list(names), {kind: [typed]}))


def attack() -> None:
    with network().open() as classifier:
        record = attacked(classifier, images(), "eps", "0.2", "brighten")
    (rate,) = record.robust["eps"].values()
    assert set(rate.by_attack) == {"random", "brighten"}
    assert rate.by_attack["brighten"].success.total == 6
    assert find("brighten").name == "brighten"


def gradient(backward: Any) -> torch.Tensor:
    x = spikes().reshape(6, 6, 1, 1, STEPS).float().requires_grad_()
    run = EngineBackend(model()).forward(x, backward)
    (found,) = torch.autograd.grad(run.spikes.sum((0, 2))[0], x)
    return found


def mode() -> None:
    found = gradient(find_mode("fired-only").start().backward)
    assert found.isfinite().all()
    assert found.any()
    assert not torch.equal(found, gradient(PLAIN.start().backward))


def shape() -> None:
    surrogate = Surrogate("cosine", 4.0)
    assert surrogate.derivative(torch.tensor([0.0, 0.5, -2.0])).allclose(
        torch.tensor([1, 0.5, 0.0])
    )
    assert gradient(surrogate).any()  # though the engine has no kernel for it
    assert not torch.equal(gradient(surrogate), gradient(Surrogate("triangle", 4.0)))
    assert BackwardMode.of(surrogate).surrogate == surrogate


def encoder() -> None:
    deployed = network("burst")
    x = torch.tensor([0.0, 0.5, 1.0, 0.26, 0.24, 0.99]).view(1, *SHAPE)
    drawn = deployed.encoder.encode(x).values
    assert drawn.sum(-1).flatten().tolist() == [0, 4, 8, 2, 1, 7]
    assert torch.equal(deployed.encoder.forward(x).values, drawn.float())
    with deployed.open() as classifier:
        record = attacked(classifier, images(), "eps", "0.2", "pgd-linf")
    assert record.card.encoder.kind == "burst"
    assert record.clean.correct == 6
    assert record.card.encoder.code.words(record.card.encoder).startswith("a burst")


def readout() -> None:
    deployed = network(readout="early")
    run = ReferenceBackend(model()).run(spikes().reshape(6, 6, 1, 1, STEPS))
    left = torch.arange(STEPS, 0, -1)
    assert torch.equal(deployed.readout.integers(run), (run.spikes.long() * left).sum(-1))
    assert deployed.readout.scale == STEPS
    with deployed.open() as classifier:
        record = attacked(classifier, images(), "eps", "0.2", "pgd-linf")
    assert record.card.readout == "early"
    assert record.clean.correct == 6


def defence() -> None:
    options = TrainOptions(defence="noise")
    chosen = find_defence(options.defence)
    torch.manual_seed(0)
    linear, seen = torch.nn.Linear(6, 3), []

    def counts(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.append(x)
        return linear(x.flatten(1))

    learner: Any = SimpleNamespace(network=linear, counts=counts, own=torch.nn.ParameterDict())
    batch, adam = (images(), torch.arange(6) % 3), torch.optim.Adam(linear.parameters(), 0.1)
    generator = torch.Generator().manual_seed(0)
    losses = [float(chosen.train_batch(learner, adam, batch, generator)) for _ in range(20)]
    assert losses[-1] < losses[0]
    for x in seen:
        assert not torch.equal(x, batch[0])
        assert float((x - batch[0]).abs().max()) <= 0.1 + 1e-6
    assert dataclasses.asdict(chosen) == {"eps": 0.1}  # type: ignore[call-overload]


def backend() -> None:
    x = spikes().reshape(6, 6, 1, 1, STEPS)
    wanted = ReferenceBackend(model()).run(x)
    with open_backend("dense", model()) as opened:
        found = opened.run(x)
    assert torch.equal(found.spikes, wanted.spikes)
    assert torch.equal(found.membrane, wanted.membrane)
    with network().open("dense") as classifier:
        record = attacked(classifier, images(), "eps", "0.2", "random")
    assert (record.backend, record.target) == ("dense", opened.about)
    assert words.backend("dense") == "the dense loops"


def budget() -> None:
    x, budget = spikes(), parse("columns", "1")
    made = control_of("columns")(
        None, x, torch.zeros(6, dtype=torch.int64), budget, torch.Generator().manual_seed(0)
    )
    columns = (made != x).movedim(3, 1).flatten(2).any(-1).sum(1)
    assert columns.tolist() == [1] * 6  # the control uses what it may, and no more
    assert inside(made, x, budget).all()
    assert not inside(1 - x, x, budget).any()
    with network("direct").open() as classifier:
        record = attacked(classifier, x, "columns", "2", "random-columns")
    (rate,) = record.robust["columns"].values()
    assert rate.by_attack["random-columns"].success.total == 6


KINDS = (attack, mode, shape, encoder, readout, defence, backend, budget)


def main() -> None:
    """One JSON object: whose package it is; by kind, an empty text or what went wrong."""
    found = {"package": neurorobust.__file__}
    for kind in KINDS:
        try:
            kind()
            found[kind.__name__] = ""
        except Exception:
            found[kind.__name__] = traceback.format_exc()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
