"""Float against deployed, the 2x2: crafted on either, scored on both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurorobust.attacks import Attack, domain
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.evaluation import Progress, Request, check_fit
from neurorobust.evaluation.draws import HALF, Draws, Scored
from neurorobust.evaluation.jobs import Job, plan
from neurorobust.evaluation.query import one_thread
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.shard import SHARD
from neurorobust.evaluation.trial import propose
from neurorobust.records import Cell, Comparison, rate
from neurorobust.statistics import exact_mcnemar
from neurorobust.types import Labels

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Side: TypeAlias = Literal["float", "deployed"]
Sides: TypeAlias = "dict[Side, Classifier]"
Samples: TypeAlias = "Mapping[str, Any]"
SIDES: tuple[Side, Side] = ("float", "deployed")


def compare(
    float_classifier: Classifier,
    deployed_classifier: Classifier,
    dataset: Dataset,
    request: Request,
    samples: Samples | None = None,
    progress: Progress | None = None,
) -> tuple[Comparison, ...]:
    """What deployment changes: clean labels, white-box robustness, transfer in both directions.

    Success in a cell is conditioned on both networks being right when clean; McNemar's test pairs,
    per sample, "right when clean and under its own white-box attack" on float and on deployed.
    All randomness is forked as `evaluation.evaluate` forks it, the same for both networks.

    Args:
        float_classifier: the network before rounding, with gradients.
        deployed_classifier: the integers of the `.net` file on a target with gradients.
        dataset: what both are asked.
        request: its `compare_with` is the attack, at all budgets of its kind, from the first seed.
            Of an encoder that draws a sample is right where more than half of `draws` are; as many
            others select between the proposal and x.
        samples: `samples.npz` of an evaluation of the deployed network on the same data, with the
            same seed: what it crafted and scored there is taken as it is, not done again.
        progress: told (done, total, what).

    Raises:
        BadInput: see `planned`; or samples of other data.
    """
    jobs = planned(float_classifier, deployed_classifier, dataset, request)
    classifiers: Sides = {"float": float_classifier, "deployed": deployed_classifier}
    known = {} if samples is None else samples
    if known and not np.array_equal(known["label"], dataset.y.numpy()):
        raise BadInput(f"compare: the stored samples are not those of {dataset.name}")
    shards = dataset.parts(SHARD)
    if known and deployed_classifier.encoder.random and "scoring/clean" not in known:
        raise BadInput("compare: the stored samples were scored by one draw, evaluate anew")
    parts: dict[str, list[Mask]] = {}
    done = 0
    for number, part in enumerate(shards):
        x, labels = dataset[part]
        stored = {name: known[name][part] for name in _names(jobs) if name in known}
        draws = Draws(request.seed, number, request.draws)
        with one_thread():
            clean: dict[Side, Scored] = {}
            for side, classifier in classifiers.items():
                if side == "deployed" and "predicted/clean" in stored:
                    clean[side] = _stored(stored, "clean", labels)
                else:
                    clean[side] = draws.score(classifier, x, labels)
                parts.setdefault(f"label/{side}", []).append(clean[side].predicted.numpy())
                parts.setdefault(f"clean/{side}", []).append(_right(clean[side]).numpy())
            for job in jobs:
                for name, mask in _attack(classifiers, x, labels, job, draws, clean, stored):
                    parts.setdefault(name, []).append(mask)
                done += 1
                if progress is not None:
                    progress(done, len(shards) * len(jobs), job.name)
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    return tuple(_comparison(job, arrays) for job in jobs)


def planned(
    float_classifier: Classifier,
    deployed_classifier: Classifier,
    dataset: Dataset,
    request: Request,
) -> tuple[Job, ...]:
    """What `compare` will do; refuses before any work what it cannot.

    Raises:
        BadInput: no attack, no budget, an attack that is not white-box or does not fit the data, a
            network without gradients.
    """
    chosen = request.compared
    if chosen is None:
        raise BadInput("compare_with: no attack, need a white-box one")
    _check({"float": float_classifier, "deployed": deployed_classifier}, dataset, chosen)
    return plan({chosen.kind: request.budgets.get(chosen.kind, ())}, [chosen], control=False)


def _names(jobs: tuple[Job, ...]) -> Iterator[str]:
    """What is used of the stored samples."""
    shares = ("predicted", "selecting", "scoring")
    yield from (f"{what}/clean" for what in shares)
    for job in jobs:
        yield from (f"{what}/{job.name}" for what in ("adversarial", "failed", *shares))


def _stored(samples: Samples, name: str, labels: Labels) -> Scored:
    """What an evaluation scored."""
    predicted = torch.from_numpy(samples[f"predicted/{name}"])
    right = (predicted == labels).double()
    if f"scoring/{name}" not in samples:
        return Scored(predicted, predicted, right, right, None)
    selecting, scoring = (
        torch.from_numpy(samples[f"{which}/{name}"]) for which in ("selecting", "scoring")
    )
    return Scored(predicted, predicted, selecting, scoring, None)


def _right(answers: Scored) -> Tensor:
    """Bool: in more than half of the scoring draws."""
    return answers.scoring > HALF


def _attack(
    classifiers: Sides,
    x: Tensor,
    labels: Labels,
    job: Job,
    draws: Draws,
    clean: Mapping[Side, Scored],
    stored: Samples,
) -> Iterator[tuple[str, Mask]]:
    """`<key>/<crafted>/<scored>`, and which samples `scored` gets wrong."""
    words = (draws.number, job.label, job.kind, job.value)
    for crafted, classifier in classifiers.items():
        known = crafted == "deployed" and f"adversarial/{job.name}" in stored
        if known:
            adversarial = torch.from_numpy(stored[f"adversarial/{job.name}"])
            failed = torch.from_numpy(stored[f"failed/{job.name}"])
        else:
            generator = fork(draws.seed, *words)
            made = propose(classifier, x, labels, job.attack, job.budget, generator)
            adversarial, failed = made.adversarial, made.failed
        for scored, target in classifiers.items():
            if known and scored == "deployed":
                answers = _stored(stored, job.name, labels)
            else:
                answers = draws.score(target, adversarial, labels)
            worse = (answers.selecting < clean[scored].selecting) & ~failed
            left = torch.where(worse, _right(answers), _right(clean[scored]))
            yield f"{job.key}/{crafted}/{scored}", (~left).numpy()


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
        kind=job.kind,
        epsilon=job.typed,
        attack=job.attack.name,
        clean_float=rate(int(clean["float"].sum()), len(both)),
        clean_deployed=rate(int(clean["deployed"].sum()), len(both)),
        flips=int((arrays["label/float"] != arrays["label/deployed"]).sum()),
        cells=cells,
        mcnemar_p=p_value,
        discordant=discordant,
    )


def _check(classifiers: Sides, dataset: Dataset, attack: Attack) -> None:
    if attack.access != "white-box":
        raise BadInput(f"attack {attack.name!r}: no white-box attack, nothing to compare")
    if domain(attack) != dataset.domain:
        raise BadInput(
            f"attack {attack.name!r}: needs {domain(attack)}, {dataset.name} holds {dataset.domain}"
        )
    for side, classifier in classifiers.items():
        check_fit(classifier, dataset)
        if not classifier.differentiable:
            raise BadInput(
                f"attack {attack.name!r}: the {side} network's backend "
                f"{classifier.backend.name} has no gradients"
            )
