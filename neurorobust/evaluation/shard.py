"""One piece of work: all jobs on one run of consecutive samples, from its own forked seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurorobust.attacks import GradientAttack
from neurorobust.attacks.spike_view import spike_view
from neurorobust.classifier import Classifier
from neurorobust.evaluation.jobs import Job
from neurorobust.evaluation.projection import project, sift
from neurorobust.evaluation.seeds import fork
from neurorobust.types import Labels, Spikes

SHARD = 64  # samples; fixed, so that a record does not depend on how the work was spread

Arrays: TypeAlias = "dict[str, npt.NDArray[np.generic]]"


def evaluate_shard(
    classifier: Classifier,
    x: Tensor,
    labels: Labels,
    jobs: tuple[Job, ...],
    seed: int,
    number: int,
    tick: Callable[[str], None],
) -> Arrays:
    """Attack, project, re-run on the target and score one shard.

    Args:
        classifier: the target.
        x: the shard's samples.
        labels: their classes.
        jobs: attacks with budgets.
        seed: of the evaluation.
        number: of the shard.
        tick: told when the clean run (`clean`) and each job (its name) is done.

    Returns:
        the arrays of `samples.npz` for these samples, and `seconds/<key>/<attack>` (0-dimensional).
    """
    arrays: Arrays = {"label": labels.numpy()}
    with one_thread():
        clean, drawn = score(classifier, x, fork(seed, number, "clean"))
        arrays["predicted/clean"] = clean.numpy()
        if drawn is not None:
            arrays["drawn/clean"] = pack(drawn)
            again, _ = score(classifier, x, fork(seed, number, "redraw"))
            arrays["predicted/redraw"] = again.numpy()
        tick("clean")
        view: tuple[Classifier, Tensor] | None = None
        for job in jobs:
            target, start = classifier, x
            if job.domain == "spikes":
                view = view or spike_view(classifier, x, fork(seed, number, "clean"))
                target, start = view
            arrays.update(_attack(target, start, labels, clean, job, seed, number))
            zeros = f"zero_gradient/{job.attack.name}"
            if isinstance(job.attack, GradientAttack) and zeros not in arrays:
                generator = fork(seed, number, job.attack.name, "gradient")
                gradient = job.attack.gradient(target, start, labels, generator)
                arrays[zeros] = (gradient == 0).flatten(1).all(1).numpy()
            tick(job.name)
    return arrays


def _attack(
    target: Classifier,
    x: Tensor,
    labels: Labels,
    clean: Labels,
    job: Job,
    seed: int,
    number: int,
) -> Arrays:
    """One job: the attack proposes, everything else happens here."""
    words = (number, job.attack.name, job.kind, job.value)
    start = time.perf_counter()
    proposal = job.attack(target, x.clone(), labels.clone(), job.budget, fork(seed, *words))
    seconds = time.perf_counter() - start
    usable, failed = sift(proposal, x)
    adversarial, outside = project(usable, x, job.budget)
    predicted, drawn = score(target, adversarial, fork(seed, *words, "score"))
    arrays: Arrays = {
        f"predicted/{job.name}": torch.where(failed, clean, predicted).numpy(),
        f"adversarial/{job.name}": adversarial.numpy(),
        f"failed/{job.name}": failed.numpy(),
        f"projected/{job.name}": outside.numpy(),
        f"seconds/{job.name}": np.asarray(seconds),
    }
    if drawn is not None:
        arrays[f"drawn/{job.name}"] = pack(drawn)
    return arrays


def score(
    classifier: Classifier, x: Tensor, generator: torch.Generator
) -> tuple[Labels, Spikes | None]:
    """The target's labels of x, and the spikes that a random encoder drew for this very query."""
    with torch.no_grad():
        inputs = classifier.encoder.encode(x, generator)
        labels = classifier.readout.labels(classifier.backend.run(inputs))
    if classifier.encoder.random and isinstance(inputs, Tensor):
        return labels, inputs
    return labels, None


def pack(spikes: Spikes) -> npt.NDArray[np.generic]:
    """uint8 `[batch, ceil(entries / 8)]`, the first entry in the highest bit."""
    return np.packbits(spikes.flatten(1).numpy(), axis=1)


def unpack(bits: npt.NDArray[np.generic], shape: tuple[int, ...]) -> Spikes:
    """What `pack` packed, with one sample's shape C, H, W, time."""
    entries = int(np.prod(shape))
    flat = np.unpackbits(bits.astype(np.uint8), axis=1, count=entries)
    return torch.from_numpy(flat.reshape(len(bits), *shape))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums of floats in one order, however many cores there are.

    The engine may go on with several: its floats do not depend on how many.
    """
    from neurorobust.backends.engine.parts import threads  # numba comes with it: not at import

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threads(before):
            yield
    finally:
        torch.set_num_threads(before)
