"""Success that hangs on a setting of the attack."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.records import Record

WIDTH = 0.25  # share of the probed samples that two surrogate widths may judge differently
FEW = 3  # fewer say nothing


def probes(record: Record) -> Iterator[str]:
    """Surrogate width, logit scale, number of steps."""
    for probe in record.probes:
        one, other = probe.broken
        where = f"{probe.attack} at {probe.kind} {probe.budget}, {probe.total} samples probed"
        pair = f"{one} with {probe.settings[0]}, {other} with {probe.settings[1]}"
        if probe.what == "width" and abs(one - other) >= max(FEW, WIDTH * probe.total):
            yield (
                f"surrogate width: {pair} broken ({where}): success depends on the surrogate; an "
                "attack with one width alone would overestimate robustness"
            )
        if probe.what == "scale" and probe.differ:
            yield (
                f"logit scale: {pair} times the logits broken ({where}): the attack depends on a "
                "constant that changes no answer"
            )
        if probe.what == "steps" and one - other >= FEW:
            yield f"steps: {pair} steps broken ({where}): more steps break less"
