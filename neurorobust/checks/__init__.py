"""Red flags on a record: signs that an evaluation overestimates robustness.

After Carlini et al., "On evaluating adversarial robustness" (arXiv:1902.06705, 2019), Athalye et
al., "Obfuscated gradients give a false sense of security" (ICML 2018) and Zimmermann et al.,
"Increasing confidence in adversarial robustness evaluations" (NeurIPS 2022). A flag is a sentence;
the absence of flags proves nothing.
"""

from __future__ import annotations

from neurorobust.checks import budgets, counts, gradients, probes, rerun, strength
from neurorobust.records import Record


def flags(record: Record) -> list[str]:
    """Every red flag, in words; empty where there is none."""
    found = [*counts.chance(record), *counts.few(record), *counts.wide(record)]
    for rates in record.robust.values():
        rows = sorted(rates.values(), key=lambda rate: rate.budget.size)
        found += gradients.zero(record, rows)
        found += strength.controls(record, rows)
        found += strength.uncontrolled(record, rows)
        found += strength.black_box(record, rows)
        found += budgets.rises(record, rows)
        found += rerun.proposals(record, rows)
        found += strength.unchanged(record, rows)
        found += budgets.large(record, rows)
    found += [*strength.transfer(record), *gradients.settings(record), *gradients.choice(record)]
    return [*found, *probes.probes(record), *rerun.draws(record), *rerun.confirmation(record)]


def looked_for(record: Record) -> list[str]:
    """What `flags` could look for on this record, in words."""
    attacked = bool(record.attacks)
    white_box = any(record.is_white_box(name) for name in record.attacks)
    controls = any(record.is_control(name) for name in record.attacks)
    queries = any(record.is_black_box(name) for name in record.attacks)
    families = list(record.robust.values())
    tried = [rate.budget for rates in families for rate in rates.values()]
    probed = {probe.what for probe in record.probes}
    questions = {
        "a network no better than chance": record.classes is not None and record.clean.total > 0,
        "success rates over a handful of samples": bool(families),
        "intervals too wide to tell anything apart": True,
        "attacks without a control": bool(families),
        "a missing white-box attack": attacked,
        "inputs without any gradient": white_box,
        "controls as strong as attacks": white_box and controls,
        "black-box attacks that beat the gradients": white_box and queries,
        "one draw alone of a random encoder": record.draws is not None,
        "transfer that beats the direct attack": bool(record.comparison),
        "accuracy that rises with the budget": any(len(rates) > 1 for rates in families),
        "more steps that break less": "steps" in probed,
        "accuracy left where every picture can be erased": any(map(budgets.erases, tried)),
        "proposals that break the rules": bool(families),
        "proposals that change nothing": bool(families),
        "success that a second run does not show": bool(families),
        "success that depends on one surrogate width": "width" in probed,
        "success that depends on the scale of the logits": "scale" in probed,
        "too few draws of a random encoder": attacked and record.card.encoder.code.random,
        "a replay that differs": record.confirmed is not None,
    }
    return [name for name, asked in questions.items() if asked]


__all__ = ["flags", "looked_for"]
