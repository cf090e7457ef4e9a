"""What the evaluation found when it ran proposals again."""

from __future__ import annotations

from collections.abc import Iterator

from neurorobust.checks.rows import Rows
from neurorobust.records import Record


def proposals(record: Record, rows: Rows) -> Iterator[str]:
    """Proposals that broke the rules, and claims that do not hold."""
    random = record.card.encoder.code.random
    for robust in rows:
        for name, rate in robust.by_attack.items():
            if rate.failed:
                yield (
                    f"{robust.place}: {name} failed on {rate.failed} of {rate.total} samples (not "
                    "finite, not binary or of a wrong shape); they count as not broken"
                )
            if rate.projected:
                yield (
                    f"{robust.place}: {name} left the budget on {rate.projected} of {rate.total} "
                    "samples; what was scored is the projection"
                )
            # a random encoder draws again: there claims may fall, but not more than hold
            if rate.unconfirmed > (rate.success.correct if random else 0):
                yield (
                    f"{robust.place}: {name} claims {rate.unconfirmed} successes that the re-run "
                    "does not show; they count as not broken"
                )


def draws(record: Record) -> Iterator[str]:
    """A random encoder whose chance the numbers do not average out."""
    if record.draws == 1:
        yield (
            "1 draw of the random encoder selects a proposal and 1 scores it: the numbers hold for "
            "these draws alone; --draws 10 averages"
        )


def confirmation(record: Record) -> Iterator[str]:
    """A replay on another target that differs."""
    done = record.confirmed
    if done is not None and not done.holds:
        yield (
            f"confirm {done.backend}: {done.identical} of {done.replayed} identical; "
            f"first difference: {done.first_difference}"
        )
