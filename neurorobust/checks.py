"""Red flags on a record: signs that an evaluation overestimates robustness.

After Carlini et al., "On evaluating adversarial robustness" (arXiv:1902.06705, 2019) and Athalye et
al., "Obfuscated gradients give a false sense of security" (ICML 2018). A flag is a sentence; the
absence of flags proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from neurorobust.evaluation.jobs import parse_epsilon
from neurorobust.records import AttackRate, Record, RobustRate

ZERO_GRADIENTS = 0.05  # share of samples without any gradient at the start point
LARGE_EPSILON = 0.5  # any image can become plain grey here: nothing can be recognised
LARGE_EPSILON_LEFT = 0.1  # share that may still be right there
RANDOM_RISE = 0.02  # share by which accuracy may rise with the budget where the encoder draws
FEW = 3  # a tie of fewer broken samples than this says nothing
QUERIES = 10  # independent draws a gradient should average where the encoder draws


def flags(record: Record) -> list[str]:
    """Every red flag, in words; empty where there is none."""
    found = []
    for kind, rates in (("eps", record.robust), ("flips", record.robust_flips)):
        budgets = sorted(rates.items(), key=lambda item: parse_budget(kind, item[0]))
        found += [*_zero_gradients(record, kind, budgets), *_controls(record, kind, budgets)]
        found += [*_rises(record, kind, budgets), *_proposals(kind, budgets)]
        found += _large(record, kind, budgets)
    return [*found, *_settings(record), *_confirmation(record)]


def looked_for(record: Record) -> list[str]:
    """What `flags` could look for on this record, in words; empty where nothing was attacked."""
    access = {bool(settings["white_box"]) for settings in record.attacks.values()}
    families = [rates for rates in (record.robust, record.robust_flips) if rates]
    large = any(parse_epsilon(typed) >= LARGE_EPSILON for typed in record.robust)
    questions = {
        "a missing white-box attack": bool(access),
        "inputs without any gradient": True in access,
        "controls as strong as attacks": access == {True, False},
        "accuracy that rises with the budget": any(len(rates) > 1 for rates in families),
        "accuracy left where every picture can be erased": large,
        "proposals that break the rules": bool(families),
        "too few draws of a random encoder": bool(access) and record.card.encoder.kind == "poisson",
        "a replay that differs": record.confirmed is not None,
    }
    return [name for name, asked in questions.items() if asked]


Budgets = list[tuple[str, RobustRate]]


def parse_budget(kind: str, typed: str) -> float:
    """The number a key of the record stands for."""
    return parse_epsilon(typed) if kind == "eps" else float(typed)


def _white_box(record: Record, robust: RobustRate, wanted: bool) -> dict[str, AttackRate]:
    return {
        name: rate
        for name, rate in robust.by_attack.items()
        if record.attacks[name]["white_box"] is wanted
    }


def _zero_gradients(record: Record, kind: str, budgets: Budgets) -> Iterator[str]:
    shares = {
        name: rate.zero_gradient
        for _, robust in budgets
        for name, rate in robust.by_attack.items()
        if rate.zero_gradient is not None
    }
    for name, share in shares.items():
        if share > ZERO_GRADIENTS:
            yield (
                f"{name}: {share:.0%} of the samples have no gradient at all at the start point "
                f"(limit {ZERO_GRADIENTS:.0%}): gradients are masked, robustness is overestimated"
            )


def _controls(record: Record, kind: str, budgets: Budgets) -> Iterator[str]:
    for typed, robust in budgets:
        attacks = _white_box(record, robust, True)
        if not attacks:
            continue
        name, best = max(attacks.items(), key=lambda item: item[1].success.correct)
        if best.success.correct == best.success.total:
            continue  # nothing left to break
        for control, rate in _white_box(record, robust, False).items():
            more = rate.success.correct - best.success.correct
            if more > 0 or (more == 0 and best.success.correct >= FEW):
                yield (
                    f"{kind} {typed}: {control} breaks {rate.success.correct} samples, {name} "
                    f"{best.success.correct}: the white-box attack is no stronger than chance"
                )


def _rises(record: Record, kind: str, budgets: Budgets) -> Iterator[str]:
    slack = RANDOM_RISE if record.card.encoder.kind == "poisson" else 0.0
    for (small, before), (large, after) in pairwise(budgets):
        series = {"worst case": (before.correct, after.correct)}
        series |= {
            name: (rate.correct, after.by_attack[name].correct)
            for name, rate in _white_box(record, before, True).items()
            if name in after.by_attack
        }
        for name, (low, high) in series.items():
            if high - low > slack * after.total:
                yield (
                    f"{kind} {small} to {large}: accuracy rises from {low} to {high} of "
                    f"{after.total} ({name}): the attack fails at the larger budget"
                )


def _large(record: Record, kind: str, budgets: Budgets) -> Iterator[str]:
    for typed, robust in budgets:
        if kind != "eps" or parse_epsilon(typed) < LARGE_EPSILON:
            continue
        if _white_box(record, robust, True) and robust.correct > LARGE_EPSILON_LEFT * robust.total:
            yield (
                f"eps {typed}: {robust.correct} of {robust.total} still right where every image "
                f"can become plain grey (limit {LARGE_EPSILON_LEFT:.0%}): the attack does not work"
            )


def _proposals(kind: str, budgets: Budgets) -> Iterator[str]:
    for typed, robust in budgets:
        for name, rate in robust.by_attack.items():
            if rate.failed:
                yield (
                    f"{kind} {typed}: {name} failed on {rate.failed} of {rate.total} samples (not "
                    "finite, not binary or of a wrong shape); they count as not broken"
                )
            if rate.projected:
                yield (
                    f"{kind} {typed}: {name} left the budget on {rate.projected} of {rate.total} "
                    "samples; what was scored is the projection"
                )


def _settings(record: Record) -> Iterator[str]:
    if not record.attacks:
        return
    if not any(settings["white_box"] for settings in record.attacks.values()):
        yield "no white-box attack was run: controls alone say little about robustness"
    if record.card.encoder.kind != "poisson":
        return
    for name, settings in record.attacks.items():
        on_images = settings["white_box"] and settings["domain"] == "images"
        if on_images and settings.get("draws", 1) < QUERIES:
            yield (
                f"{name}: {settings.get('draws', 1)} draws of the random encoder a gradient, need "
                f"{QUERIES}: without averaging the attack follows noise"
            )


def _confirmation(record: Record) -> Iterator[str]:
    done = record.confirmed
    if done is not None and done.identical != done.replayed:
        yield (
            f"confirm {done.backend}: {done.identical} of {done.replayed} identical; "
            f"first difference: {done.first_difference}"
        )
