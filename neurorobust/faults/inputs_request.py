"""Inputs against the deployment as a request: clean, random and found ones, measured alike."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from neurorobust import budgets
from neurorobust.attacks.controls import control_of
from neurorobust.attacks.deployment import DEPLOYMENT, OBJECTIVES, DeploymentAttack
from neurorobust.attacks.spike_view import spike_view
from neurorobust.classifier import Classifier
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation.query import Arrays
from neurorobust.faults.inputs import layer_bounds, reached
from neurorobust.faults.record import BoundRow
from neurorobust.faults.request import Outcome, Task
from neurorobust.support.names import unknown
from neurorobust.types import Labels

PART = 50  # samples attacked together; what is found does not depend on the others


@dataclass(frozen=True)
class InputsRequest:
    """Inputs that overflow, cost most, or part the two clocks.

    Attributes:
        objective: a key of `attacks.deployment.OBJECTIVES`.
        kind, budget: what one input may change, as typed.
        rounds: gradients of the search.
        seed: of everything random.
    """

    objective: str
    kind: str
    budget: str
    rounds: int = 20
    seed: int = 0
    fault: ClassVar[str] = "inputs"
    learns: ClassVar[bool] = False

    def check(self) -> None:
        """Refuse an unknown objective, and a budget that no attack on it takes.

        Raises:
            BadInput: naming it.
        """
        if self.objective not in OBJECTIVES:
            raise BadInput(unknown("objective", self.objective, OBJECTIVES))
        if self.rounds < 1:
            raise BadInput(f"faults inputs: {self.rounds} rounds, need at least 1")
        self.attack()
        budgets.parse(self.kind, self.budget)

    def attack(self) -> DeploymentAttack:
        """The attack on the objective that takes this kind of budget.

        Raises:
            BadInput: there is none.
        """
        own = [one for one in DEPLOYMENT.values() if one.objective.name == self.objective]
        for attack in own:
            if attack.kind == self.kind:
                return dataclasses.replace(attack, steps=self.rounds)
        taken = " or ".join(attack.kind for attack in own)
        raise BadInput(f"faults inputs: {self.objective} takes {taken}, given {self.kind}")

    def jobs(self, data: Dataset, known: Dataset | None) -> int:
        """Attacked parts of the samples."""
        return len(data.parts(PART))

    def files(self) -> tuple[str, ...]:
        """None."""
        return ()

    def work(self, task: Task) -> Outcome:
        """Attack part by part, then measure all rows."""
        attack, budget = self.attack(), budgets.parse(self.kind, self.budget)
        classifier, (x, labels) = task.classifier, task.data.batch(0, len(task.data))
        domain = budgets.KINDS[self.kind].domain
        if domain == "spikes":
            classifier, x = spike_view(classifier, x, task.generator())
        elif domain != classifier.encoder.domain:
            raise BadInput(
                f"faults inputs: a budget {self.kind} bounds {domain}, the network is fed "
                f"{classifier.encoder.domain}; give one of those"
            )
        bounds = layer_bounds(classifier, x)
        found = {
            "clean": x,
            "random": control_of(self.kind)(classifier, x, labels, budget, task.generator()),
            attack.name: self._found(attack, classifier, x, labels, task),
        }
        rows = {
            name: reached(classifier, one, labels, task.generator()) for name, one in found.items()
        }
        limits = tuple(
            BoundRow(layer=one.layer, current=one.current, can_wrap=one.can_wrap) for one in bounds
        )
        return Outcome(
            {
                "objective": self.objective,
                "budget": {self.kind: self.budget},
                "rounds": self.rounds,
                "bounds": limits,
                "rows": rows,
            },
            {f"input/{name}": one.numpy() for name, one in found.items() if name != "clean"},
        )

    def _found(
        self,
        attack: DeploymentAttack,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        task: Task,
    ) -> Tensor:
        """Part after part from one generator, whose state is kept with what a part came to."""
        generator, budget, parts = task.generator(), budgets.parse(self.kind, self.budget), []
        for first in range(0, len(x), PART):
            some = slice(first, first + PART)

            def climb(some: slice = some) -> Arrays:
                made = attack(classifier, x[some], labels[some], budget, generator)
                return {"x": made.numpy(), "state": generator.get_state().numpy()}

            name = f"{attack.name} {first + 1} to {first + len(x[some])}"
            kept = task.kept.arrays(name, (x[some], generator.get_state()), climb)
            generator.set_state(torch.from_numpy(kept["state"].copy()))
            parts.append(torch.from_numpy(kept["x"].copy()))
        return torch.cat(parts)
