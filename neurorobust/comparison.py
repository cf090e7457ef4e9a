"""Float against deployed, the 2x2: crafted on either, scored on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

from neurorobust.attacks import Attack, find
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import Progress, check_fit
from neurorobust.evaluation.jobs import Job, plan
from neurorobust.evaluation.projection import project, sift
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.shard import SHARD, one_thread, score
from neurorobust.records import Cell, Comparison, rate
from neurorobust.statistics import exact_mcnemar
from neurorobust.types import Labels

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Side: TypeAlias = Literal["float", "deployed"]
SIDES: tuple[Side, Side] = ("float", "deployed")


def compare(
    float_classifier: Classifier,
    deployed_classifier: Classifier,
    dataset: Dataset,
    *,
    epsilons: Sequence[str],
    attack: str | Attack = "pgd-linf",
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Comparison, ...]:
    """What deployment changes: clean labels, white-box robustness, transfer in both directions.

    Success in a cell is conditioned on both networks being right when clean; McNemar's test pairs,
    per sample, "right when clean and under its own white-box attack" on float and on deployed.

    Args:
        float_classifier: the network before rounding, with gradients.
        deployed_classifier: the integers of the `.net` file on a target with gradients.
        dataset: what both are asked.
        epsilons: budgets as typed (numbers of flips for an attack on spikes).
        attack: name of a white-box attack (or the attack).
        seed: of everything random; a random encoder draws the same for both networks.
        progress: told (done, total, what).

    Raises:
        BadInput: no budget, an attack that is not white-box or does not fit the data, a network
            without gradients.
    """
    chosen = find(attack) if isinstance(attack, str) else attack
    classifiers = {"float": float_classifier, "deployed": deployed_classifier}
    _check(classifiers, dataset, chosen)
    on_images = chosen.domain == "images"
    jobs = plan(epsilons if on_images else (), () if on_images else epsilons, [chosen])
    shards = -(-len(dataset) // SHARD)
    parts: dict[str, list[Mask]] = {}
    done = 0
    for number in range(shards):
        x, labels = dataset.batch(number * SHARD, min((number + 1) * SHARD, len(dataset)))
        with one_thread():
            for side, classifier in classifiers.items():
                predicted, _ = score(classifier, x, fork(seed, number, "clean"))
                parts.setdefault(f"label/{side}", []).append(predicted.numpy())
                parts.setdefault(f"clean/{side}", []).append((predicted == labels).numpy())
            for job in jobs:
                for name, mask in _attack(classifiers, x, labels, job, seed, number).items():
                    parts.setdefault(name, []).append(mask)
                done += 1
                if progress is not None:
                    progress(done, shards * len(jobs), job.name)
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    return tuple(_comparison(job, arrays) for job in jobs)


def _attack(
    classifiers: dict[str, Classifier],
    x: Tensor,
    labels: Labels,
    job: Job,
    seed: int,
    number: int,
) -> dict[str, Mask]:
    """`<key>/<crafted>/<scored>`: which samples `scored` gets wrong."""
    wrong = {}
    words = (number, job.attack.name, job.kind, job.value)
    for crafted, classifier in classifiers.items():
        generator = fork(seed, *words, crafted)
        proposal = job.attack(classifier, x.clone(), labels.clone(), job.budget, generator)
        usable, failed = sift(proposal, x)
        adversarial, _ = project(usable, x, job.budget)
        for scored, target in classifiers.items():
            predicted, _ = score(target, adversarial, fork(seed, *words, crafted, "score"))
            wrong[f"{job.key}/{crafted}/{scored}"] = ((predicted != labels) & ~failed).numpy()
    return wrong


def _comparison(job: Job, arrays: dict[str, Mask]) -> Comparison:
    clean = {side: arrays[f"clean/{side}"] for side in SIDES}
    both = clean["float"] & clean["deployed"]
    cells = tuple(
        Cell(
            crafted=crafted,
            scored=scored,
            success=rate(
                int((both & arrays[f"{job.key}/{crafted}/{scored}"]).sum()), int(both.sum())
            ),
        )
        for crafted in SIDES
        for scored in SIDES
    )
    robust = {side: clean[side] & ~arrays[f"{job.key}/{side}/{side}"] for side in SIDES}
    p_value, discordant = exact_mcnemar(robust["float"], robust["deployed"])
    return Comparison(
        epsilon=job.typed,
        attack=job.attack.name,
        clean_float=rate(int(clean["float"].sum()), len(both)),
        clean_deployed=rate(int(clean["deployed"].sum()), len(both)),
        flips=int((arrays["label/float"] != arrays["label/deployed"]).sum()),
        cells=cells,
        mcnemar_p=p_value,
        discordant=discordant,
    )


def _check(classifiers: dict[str, Classifier], dataset: Dataset, attack: Attack) -> None:
    if not attack.white_box:
        raise BadInput(f"attack {attack.name!r}: no white-box attack, nothing to compare")
    if attack.domain != dataset.domain:
        raise BadInput(
            f"attack {attack.name!r}: needs {attack.domain}, {dataset.name} holds {dataset.domain}"
        )
    for side, classifier in classifiers.items():
        check_fit(classifier, dataset)
        if not classifier.differentiable:
            raise BadInput(
                f"attack {attack.name!r}: the {side} network's backend "
                f"{classifier.backend.name} has no gradients"
            )
