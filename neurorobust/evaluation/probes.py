"""What an attack's success depends on, and should not: the surrogate's width, the logit scale.

A few samples, one attack, one setting changed; and the same attack with fewer steps, which must not
break more. Red flags are read off the counts (`neurorobust.checks`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

from neurorobust.attacks.base import domain
from neurorobust.attacks.recipes import Recipe
from neurorobust.attacks.spike_view import spike_view
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation.query import one_thread, score
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.strongest import mask
from neurorobust.records import Probe
from neurorobust.types import Budget

SAMPLES = 32  # the first of the set
SCALE = 1e-4  # logits are multiplied by it


def probes(
    classifier: Classifier, recipe: Recipe, data: Dataset, typed: str, budget: Budget, seed: int
) -> tuple[Probe, ...]:
    """Run them.

    Args:
        classifier: the target.
        recipe: names the attack, and two modes that differ in width alone.
        data: the set that is evaluated.
        typed: a budget of the attack's kind, as typed.
        budget: the same, read.
        seed: of everything random.
    """
    attack: Any = recipe.probe
    x, labels = data.batch(0, min(SAMPLES, len(data)))
    with one_thread():
        target = classifier
        if domain(attack) == "spikes":
            target, x = spike_view(classifier, x, fork(seed, 0, "clean"))
        clean, _ = score(target, x, fork(seed, "probe", "clean"))
        right = clean == labels
        x, labels = x[right], labels[right]

        def settings() -> Iterator[tuple[Literal["width", "scale", "steps"], str, Classifier, Any]]:
            for mode in recipe.widths:
                yield "width", mode.name, target, dataclasses.replace(attack, mode=mode)
            readout = target.readout
            for factor in (1.0, SCALE):
                scale = dataclasses.replace(readout, scale=readout.scale / factor)
                other = dataclasses.replace(target, readout=scale)
                yield "scale", f"{factor:g}", other, attack
            few = dataclasses.replace(attack, steps=max(1, attack.steps // 4))
            for one in (few, attack):
                yield "steps", str(one.steps), target, one

        found: dict[Literal["width", "scale", "steps"], list[tuple[str, Any]]] = {}
        for what, setting, asked, one in settings():
            outcome = mask(asked, x, labels, one, budget, seed, "probe")
            found.setdefault(what, []).append((setting, outcome))
    return tuple(
        Probe(
            what=what,
            attack=attack.name,
            kind=attack.kind,
            budget=typed,
            settings=(first[0], second[0]),
            broken=(int(first[1].sum()), int(second[1].sum())),
            differ=int((first[1] != second[1]).sum()),
            total=len(x),
        )
        for what, (first, second) in found.items()
    )
