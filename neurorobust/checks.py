"""Red flags on a record: signs that an evaluation overestimates robustness.

After Carlini et al., "On evaluating adversarial robustness" (arXiv:1902.06705, 2019) and Athalye et
al., "Obfuscated gradients give a false sense of security" (ICML 2018). A flag is a sentence; the
absence of flags proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from neurorobust.budgets import parse_epsilon, size_of
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
        budgets = sorted(rates.items(), key=lambda item: size_of(kind, item[0]))
        found += [*_zero_gradients(record, kind, budgets), *_controls(record, kind, budgets)]
        found += [*_rises(record, kind, budgets), *_proposals(kind, budgets)]
        found += _large(record, kind, budgets)
        found += _redraws(record, kind, budgets)
    return [*found, *_transfer(record), *_settings(record), *_confirmation(record)]


def looked_for(record: Record) -> list[str]:
    """What `flags` could look for on this record, in words; empty where nothing was attacked."""
    attacked = bool(record.attacks)
    white_box = any(record.is_white_box(name) for name in record.attacks)
    controls = any(record.is_control(name) for name in record.attacks)
    families = [rates for rates in (record.robust, record.robust_flips) if rates]
    large = any(parse_epsilon(typed) >= LARGE_EPSILON for typed in record.robust)
    questions = {
        "a missing white-box attack": attacked,
        "inputs without any gradient": white_box,
        "controls as strong as attacks": white_box and controls,
        "attacks no better than drawing again": record.redraw is not None and bool(record.robust),
        "transfer that beats the direct attack": bool(record.comparison),
        "accuracy that rises with the budget": any(len(rates) > 1 for rates in families),
        "accuracy left where every picture can be erased": large,
        "proposals that break the rules": bool(families),
        "too few draws of a random encoder": attacked and record.card.encoder.kind == "poisson",
        "a replay that differs": record.confirmed is not None,
    }
    return [name for name, asked in questions.items() if asked]


Budgets = list[tuple[str, RobustRate]]


def _white_box(record: Record, robust: RobustRate) -> dict[str, AttackRate]:
    return {name: rate for name, rate in robust.by_attack.items() if record.is_white_box(name)}


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
        attacks = _white_box(record, robust)
        if not attacks:
            continue
        name, best = max(attacks.items(), key=lambda item: item[1].success.correct)
        if best.success.correct == best.success.total:
            continue  # nothing left to break
        for control, rate in robust.by_attack.items():
            if not record.is_control(control):
                continue
            more = rate.success.correct - best.success.correct
            if more > 0 or (more == 0 and best.success.correct >= FEW):
                yield (
                    f"{kind} {typed}: {control} breaks {rate.success.correct} samples, {name} "
                    f"{best.success.correct}: the white-box attack is no stronger than chance"
                )


def _redraws(record: Record, kind: str, budgets: Budgets) -> Iterator[str]:
    """Images into a random encoder: every attack is one more draw as well."""
    again = record.redraw
    if again is None or kind != "eps":
        return
    for typed, robust in budgets:
        for name, rate in robust.by_attack.items():
            broken = rate.success
            if parse_epsilon(typed) == 0 or record.is_control(name) or not broken.total:
                continue
            if broken.correct <= again.interval[1] * broken.total:
                yield (
                    f"{kind} {typed}: {name} breaks {broken.correct} of {broken.total}, drawing "
                    f"the spikes again without any attack {again.correct} of {again.total} "
                    f"(up to {again.interval[1]:.1%}): not told apart from chance"
                )


def _transfer(record: Record) -> Iterator[str]:
    for comparison in record.comparison:
        cells = {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}
        carried, direct = cells["float", "deployed"], cells["deployed", "deployed"]
        if direct.correct == direct.total:
            continue  # nothing left to break
        if 0 < carried.correct >= direct.correct:
            yield (
                f"{comparison.attack} at {comparison.epsilon}: crafted on float it breaks "
                f"{carried.correct} of {carried.total} on the deployed network, crafted there "
                f"{direct.correct}: transfer beats white-box, the direct attack is too weak"
            )


def _rises(record: Record, kind: str, budgets: Budgets) -> Iterator[str]:
    slack = RANDOM_RISE if record.card.encoder.kind == "poisson" else 0.0
    for (small, before), (large, after) in pairwise(budgets):
        series = {"worst case": (before.correct, after.correct)}
        series |= {
            name: (rate.correct, after.by_attack[name].correct)
            for name, rate in _white_box(record, before).items()
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
        if _white_box(record, robust) and robust.correct > LARGE_EPSILON_LEFT * robust.total:
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
    if not any(record.is_white_box(name) for name in record.attacks):
        yield "no white-box attack was run: controls alone say little about robustness"
    if record.card.encoder.kind != "poisson":
        return
    for name, settings in record.attacks.items():
        on_images = record.is_white_box(name) and settings["domain"] == "images"
        if on_images and settings.get("draws", 1) < QUERIES:
            yield (
                f"{name}: {settings.get('draws', 1)} draws of the random encoder a gradient, need "
                f"{QUERIES}: without averaging the attack follows noise"
            )


def _confirmation(record: Record) -> Iterator[str]:
    done = record.confirmed
    if done is not None and not done.holds:
        yield (
            f"confirm {done.backend}: {done.identical} of {done.replayed} identical; "
            f"first difference: {done.first_difference}"
        )
