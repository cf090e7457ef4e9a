"""Too little was counted for the numbers to say much."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.records import Record
from neurorobust.statistics import CONFIDENCE

FEW = 30  # samples right when clean: with fewer a success rate says little
WIDE = 0.2  # of the range from 0 to 1: an interval wider than this tells hardly anything apart


def chance(record: Record) -> Iterator[str]:
    """A network that may do no better than guessing: there is nothing for an attack to break."""
    clean, classes = record.clean, record.classes
    if classes is None or not clean.total:
        return
    low, high = clean.interval
    if low <= 1 / classes:
        yield (
            f"clean: {clean.correct} of {clean.total} right ({CONFIDENCE:.0%} interval "
            f"{low:.1%} to {high:.1%}), guessing gives {1 / classes:.1%} ({classes} classes): "
            "the network is not shown to be better than chance"
        )


def few(record: Record) -> Iterator[str]:
    """Success rates over a handful of samples."""
    right = record.clean.correct
    if record.robust and right < FEW:
        yield (
            f"clean: {right} samples are right, need {FEW}: every success rate counts these alone; "
            "evaluate more samples"
        )


def wide(record: Record) -> Iterator[str]:
    """Intervals that hardly tell anything apart; one flag names the widest."""
    rates = {"clean": record.clean.interval} | {
        rate.place: rate.interval for rates in record.robust.values() for rate in rates.values()
    }
    widths = {where: high - low for where, (low, high) in rates.items()}
    over = [where for where, width in widths.items() if width > WIDE]
    if over:
        widest = max(over, key=widths.__getitem__)
        yield (
            f"{CONFIDENCE:.0%} intervals: {len(over)} of {len(rates)} wider than "
            f"{100 * WIDE:.0f} points, the widest {100 * widths[widest]:.1f} ({widest}): too few "
            "samples, evaluate more"
        )
