"""What an attack's success depends on, and should not: the surrogate's width, the logit scale.

A few samples, one attack, one setting changed; and the same attack with fewer steps, which must not
break more. Red flags are read off the counts (`neurorobust.checks`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

from torch import Tensor

from neurorobust.attacks.recipe import Recipe, first_taking
from neurorobust.attacks.spike_view import spike_view
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation.draws import Draws
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.mode_choice import VALIDATION, largest, mask
from neurorobust.evaluation.query import one_thread
from neurorobust.evaluation.seeds import fork
from neurorobust.records import Probe
from neurorobust.types import Labels

SAMPLES = 32  # the first of the set
SCALE = 1e-4  # logits are multiplied by it

What: TypeAlias = Literal["width", "scale", "steps"]


def probes(
    classifier: Classifier, recipe: Recipe, data: Dataset, jobs: Sequence[Job], seed: int
) -> tuple[Probe, ...]:
    """Probe the largest budget of each kind and norm for which the recipe has a probe.

    Args:
        classifier: the target.
        recipe: names the attacks, and two modes that differ in width alone.
        data: the set that is evaluated.
        jobs: the recipe's.
        seed: of everything random.
    """
    found: list[Probe] = []
    x, labels = data.batch(0, min(SAMPLES, len(data)))
    with one_thread():
        for job in largest(jobs):
            attack = first_taking(recipe.probes, job.kind, job.budget)
            if attack is not None:
                probed = dataclasses.replace(job, attack=attack)
                found += _probed(classifier, recipe, x, labels, probed, seed)
    return tuple(found)


def _probed(
    classifier: Classifier, recipe: Recipe, x: Tensor, labels: Labels, job: Job, seed: int
) -> list[Probe]:
    """One attack at one budget."""
    target = classifier
    if job.domain == "spikes":
        target, x = spike_view(classifier, x, fork(seed, 0, "clean"))
    draws = Draws(seed, VALIDATION)
    rows = draws.score(target, x, labels).standing.nonzero().flatten()
    x, labels = x[rows], labels[rows]
    found: dict[What, list[tuple[str, Tensor]]] = {}
    for what, setting, asked, attack in _settings(target, recipe, job.attack):
        broken = mask(asked, x, labels, attack, job.budget, draws, rows, "probe")
        found.setdefault(what, []).append((setting, broken))
    return [
        Probe(
            what=what,
            attack=job.attack.name,
            kind=job.kind,
            budget=job.typed,
            settings=(first[0], second[0]),
            broken=(int(first[1].sum()), int(second[1].sum())),
            differ=int((first[1] != second[1]).sum()),
            total=len(x),
        )
        for what, (first, second) in found.items()
    ]


def _settings(
    target: Classifier, recipe: Recipe, attack: Any
) -> Iterator[tuple[What, str, Classifier, Any]]:
    """What is asked, with what setting, of which classifier, by which attack: pairs."""
    for mode in recipe.widths:
        yield "width", mode.name, target, dataclasses.replace(attack, mode=mode)
    readout = target.readout
    for factor in (1.0, SCALE):
        scale = dataclasses.replace(readout, scale=readout.scale / factor)
        yield "scale", f"{factor:g}", dataclasses.replace(target, readout=scale), attack
    steps = "steps" if hasattr(attack, "steps") else "rounds"
    many = getattr(attack, steps)
    few = dataclasses.replace(attack, **{steps: max(1, many // 4)})
    for one in (few, attack):
        yield "steps", str(getattr(one, steps)), target, one
