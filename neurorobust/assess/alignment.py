"""What aligned resets change for a network that was trained with `delay_shift` and has biases.

lava-dl's `delay_shift` is the chip's latency of one step a layer, without resets: layers with a
bias integrate it before any data reach them. That is the global clock. Deployed on the aligned
clock, every layer starts from zero when its data arrive.
"""

from __future__ import annotations

from neurorobust.backends.base import ALIGNED, GLOBAL, Backend, Clock
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.shard import SHARD
from neurorobust.records import Alignment, rate


def alignment(classifier: Classifier, data: Dataset, seed: int = 0) -> Alignment:
    """Labels of the same encoded samples on both clocks.

    Both runs have as many steps as a sample: on the global clock what is under way at its end is
    not seen, as in lava-dl.

    Args:
        classifier: the deployed network on a backend that has both clocks.
        data: the samples, all of them.
        seed: of a random encoder; forked as `evaluate` forks it.

    Raises:
        BadInput: a backend without the global clock.
    """
    changed = late = aligned = 0
    for number, part in enumerate(data.parts(SHARD)):
        x, labels = data[part]
        inputs = classifier.encoder.encode(x, fork(seed, number, "clean"))
        found = [
            classifier.readout.labels(classifier.backend.run(inputs, clock=clock))
            for clock in ("global", "aligned")
        ]
        changed += int((found[0] != found[1]).sum())
        late += int((found[0] == labels).sum())
        aligned += int((found[1] == labels).sum())
    return Alignment(
        as_trained=rate(late, len(data)), aligned=rate(aligned, len(data)), label_changes=changed
    )


def trained_clock(backend: Backend) -> Clock:
    """`global` for a network that was trained with `delay_shift` and has biases."""
    exported = getattr(backend, "exported", None)
    return GLOBAL if exported is not None and exported.global_clock else ALIGNED
