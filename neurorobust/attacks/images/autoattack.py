"""AutoAttack's attacks (pyautoattack) on our classifiers, in any backward mode.

Each runs its authors' loop on an `Oracle`, so that a success at any query is kept, broken samples
are not asked about again, logits have no scale and random encoders are averaged over. Random
numbers are drawn for the whole batch: a sample's result depends on its place in it.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.global_seeding import seeded
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.oracle import Done, Oracle
from neurorobust.attacks.queries import report
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels

NORMS = ("linf", "l2", "l1")
NAMES = {"linf": "Linf", "l2": "L2", "l1": "L1"}  # AutoAttack's own
SILENT = logging.Logger("autoattack", level=logging.CRITICAL + 1)
LOSSES = {"ce": 2, "dlr": 3, "dlr-targeted": 4}  # and the classes that each needs


@dataclass(frozen=True)
class Apgd(Claims):
    """PGD that chooses its own step sizes, on a loss without a scale.

    Paper: Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
    parameter-free attacks", ICML 2020; L1: "Mind the box", ICML 2021; code: pyautoattack 0.2. The
    difference-of-logits ratio needs 3 classes, its targeted form 4.
    Threat model: white-box, eps of linf, l2 or l1 in pixel units.

    Attributes:
        name: on the command line and in records.
        loss: `ce`, `dlr` or `dlr-targeted` (the most likely other classes, one after the other).
        steps: gradient steps a restart and target.
        restarts: random starts.
        targets: of the targeted loss, at most.
        draws: independent queries averaged in each answer of a random encoder.
        mode: the backward mode.
        stop: leave a sample alone as soon as it is misclassified.

    Raises:
        BadInput: an unknown loss, or a number below 1.
    """

    name: str = "apgd-ce"
    loss: str = "ce"
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    draws: int = 10
    mode: Mode = PLAIN
    stop: bool = True
    norms = NORMS
    kind = "eps"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise BadInput(f"{self.name}: loss {self.loss!r} unknown, known: {', '.join(LOSSES)}")
        positive(self, "steps", "restarts", "targets", "draws")

    def propose(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Proposal:
        """Images `[batch, C, H, W]`, float32 in [0, 1], and which it found misclassified.

        Raises:
            BadInput: not such a budget, too few classes, or a backend without gradients.
        """
        from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted

        budget = norms.image_budget(self.name, budget, NORMS)
        if budget.epsilon == 0 or not len(x):
            return Proposal.untouched(x)
        oracle = Oracle(
            classifier, x, labels, budget, generator, self.mode, self.draws, stop=self.stop
        )
        targeted = self.loss == "dlr-targeted"
        kind = APGDAttack_targeted if targeted else APGDAttack
        options = {"n_iter": self.steps, "norm": NAMES[budget.norm], "eps": budget.epsilon}
        options |= {"device": x.device, "logger": SILENT}
        run = kind(oracle, **options) if targeted else kind(oracle, loss=self.loss, **options)
        run.init_hyperparam(x)
        with seeded(generator), suppress(Done):
            logits = first_answer(self.name, oracle, LOSSES[self.loss])
            for target in _ranked(logits, labels, self.targets) if targeted else [None]:
                run.y_target = target
                for _ in range(self.restarts):
                    oracle.restart()
                    run.attack_single_run(x, labels)
        report(classifier, oracle.used)
        return oracle.best.proposal()

    def check(self, classifier: Classifier, shape: tuple[int, ...], budget: Budget) -> None:
        """Refuse a network with too few classes for the loss.

        Raises:
            BadInput: see `CheckedAttack`.
        """
        enough_classes(self.name, classifier.backend.model.outputs, LOSSES[self.loss])

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the cross-entropy at x in the attack's mode."""
        source = Gradient(self.mode, self.draws, "ce").start(classifier)
        return source(x, labels, generator)[0]


@dataclass(frozen=True)
class FabT(Claims):
    """The fast adaptive boundary attack: the nearest point of the boundary to other classes.

    Paper: Croce & Hein, "Minimally distorted adversarial examples with a fast adaptive boundary
    attack", ICML 2020; code: pyautoattack 0.2, targeted.
    Threat model: white-box, eps of linf, l2 or l1 in pixel units.

    Attributes:
        name: on the command line and in records.
        steps: gradients a restart and target.
        restarts: the first starts at x, others at random.
        targets: the most likely other classes, at most so many.
        draws: independent queries averaged in each answer of a random encoder.
        mode: the backward mode.
        stop: leave a sample alone as soon as it is misclassified inside the budget.

    Raises:
        BadInput: a number below 1.
    """

    name: str = "fab-t"
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    draws: int = 10
    mode: Mode = PLAIN
    stop: bool = True
    norms = NORMS
    kind = "eps"
    access = "white-box"
    control = False
    may_return_x = True

    def __post_init__(self) -> None:
        positive(self, "steps", "restarts", "targets", "draws")

    def propose(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Proposal:
        """Images `[batch, C, H, W]`, float32 in [0, 1], and which it found misclassified.

        Raises:
            BadInput: not such a budget, or a backend without gradients.
        """
        budget = norms.image_budget(self.name, budget, NORMS)
        if budget.epsilon == 0 or not len(x):
            return Proposal.untouched(x)
        oracle = Oracle(classifier, x, labels, budget, generator, self.mode, self.draws, stop=False)
        stop = self.stop and not classifier.encoder.random
        with seeded(generator):
            classes = first_answer(self.name, oracle, 2).shape[-1]
            for rank in range(2, min(self.targets, classes - 1) + 2):
                for restart in range(self.restarts):
                    rows = torch.arange(len(x), device=x.device)
                    if stop:
                        rows = rows[oracle.best.standing.broken < 1]
                    if len(rows):
                        self._run(oracle, rows, rank, restart > 0)
        report(classifier, oracle.used)
        return oracle.best.proposal()

    def _run(self, oracle: Oracle, rows: Tensor, rank: int, random: bool) -> None:
        """One target class, the `rank`-th most likely, from x or from a random start."""
        from pyautoattack.fab_pt import FABAttack_PT

        class Fab(FABAttack_PT):  # type: ignore[misc]  # pyautoattack has no types
            """Told, not asked, that the samples are right: it leaves out those that are not."""

            told: Tensor | None = oracle.labels[rows]

            def _get_predicted_label(self, x: Tensor) -> Tensor:
                told, self.told = self.told, None
                return super()._get_predicted_label(x) if told is None else told

        oracle.restart(rows)
        fab = Fab(
            lambda x: oracle.ask(x, rows),
            norm=NAMES[oracle.budget.norm],
            n_iter=self.steps,
            eps=oracle.budget.epsilon,
            targeted=True,
        )
        fab.target_class = rank
        fab.attack_single_run(
            oracle.x[rows], oracle.labels[rows], use_rand_start=random, is_targeted=True
        )

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the margin at x in the attack's mode."""
        return Gradient(self.mode, self.draws).start(classifier)(x, labels, generator)[0]


def positive(attack: Any, *names: str) -> None:
    """Refuse numbers below 1."""
    for name in names:
        if getattr(attack, name) < 1:
            raise BadInput(f"{attack.name}: {name} {getattr(attack, name)} below 1")


def first_answer(name: str, oracle: Oracle, classes: int) -> Tensor:
    """The graded logits of x itself.

    Raises:
        BadInput: fewer classes than the attack needs.
    """
    with torch.no_grad():
        logits: Tensor = oracle(oracle.x)
    enough_classes(name, int(logits.shape[-1]), classes)
    return logits


def enough_classes(name: str, found: int, needed: int) -> None:
    """Refuse a network with fewer classes than an attack's loss compares."""
    if found < needed:
        raise BadInput(
            f"{name}: the loss needs {needed} classes, the network has {found}; "
            "apgd-ce and fab-t need 2"
        )


def _ranked(logits: Tensor, labels: Labels, count: int) -> list[Tensor]:
    """The other classes of each sample, the most likely first; at most `count` of `[batch]`."""
    own = torch.nn.functional.one_hot(labels, logits.shape[-1]).bool()
    order = logits.masked_fill(own, -torch.inf).argsort(dim=1, descending=True, stable=True)
    return [*order[:, : min(count, logits.shape[-1] - 1)].T]
