"""Examples -> the pictures and rasters of the page, each with its words."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurorobust.readouts import READOUTS
from neurorobust.report import figures, pixels, words
from neurorobust.report.samples import Example, Integers, Pair

ROWS = 160  # neurons drawn of a large layer: more would be thinner than a line


def picture(example: Example) -> dict[str, Any]:
    """An image before, after, and what was changed."""
    assert example.image is not None
    clean, attacked = (
        side.astype(np.float64) for side in (example.image.clean, example.image.attacked)
    )
    name = _name(example)
    return _facts(example) | {
        "clean": pixels.picture(clean, f"{name} unchanged, a {example.label}"),
        "change": pixels.difference(clean, attacked, f"what was changed in {name}"),
        "attacked": pixels.picture(attacked, f"{name} attacked, answered {example.after}"),
        "largest": f"{np.abs(attacked - clean).max():.3g}",
    }


def rasters(example: Example, kind: str) -> dict[str, Any]:
    """What went into the network and what came out of it, before and after.

    Args:
        example: the input.
        kind: of the readout: one that reads membranes shows them, else output spikes are shown.
    """
    panels = [] if example.entered is None else _spikes("Input", example, example.entered)
    membrane = READOUTS[kind].membrane
    if not membrane and example.left is not None:
        panels += _spikes("Output", example, example.left)
    if membrane and example.membrane is not None:
        panels += _membranes(example, example.membrane)
    return _facts(example) | {"panels": panels}


def _spikes(title: str, example: Example, pair: Pair[Integers]) -> list[dict[str, Any]]:
    panels = []
    shown, drawn = _rows(pair)
    changed = f", {words.count(int((pair.clean != pair.attacked).sum()))} changed"
    for compare, side in ((False, "unchanged"), (True, "attacked")):
        spikes = pair.attacked if compare else pair.clean
        total = words.plural(int(spikes.sum()), "spike")
        label = (
            f"{title} spikes of {_name(example)}, {side}: {total} of "
            f"{words.plural(len(spikes), 'neuron')} over {words.plural(spikes.shape[-1], 'step')}"
        )
        drawing = figures.raster(shown.clean, shown.attacked, label, compare=compare)
        note = f"{total}{changed if compare else ''}{drawn}"
        panels.append({"title": f"{title}, {side}", "drawing": drawing, "note": note})
    return panels


def _membranes(example: Example, pair: Pair[Integers]) -> list[dict[str, Any]]:
    sides = {
        "unchanged": pair.clean.astype(np.int64),
        "attacked": pair.attacked.astype(np.int64),
    }
    limit = max(1, *(int(np.abs(values).max()) for values in sides.values()))
    panels = []
    for side, values in sides.items():
        winner = int(values.argmax())
        note = f"largest: neuron {winner}, {words.count(int(values[winner]))}"
        label = f"Output membranes of {_name(example)}, {side}; {note}"
        drawing = figures.membrane(values, limit, label)
        panels.append({"title": f"Membranes, {side}", "drawing": drawing, "note": note})
    return panels


def _rows(pair: Pair[Integers]) -> tuple[Pair[Integers], str]:
    """The neurons drawn: all of a small layer; of a large one the most changed and active."""
    neurons = len(pair.clean)
    if neurons <= ROWS:
        return pair, ""
    changed = (pair.clean != pair.attacked).sum(-1)
    active = pair.clean.sum(-1, dtype=np.int64) + pair.attacked.sum(-1, dtype=np.int64)
    rows = np.sort(np.lexsort((np.arange(neurons), -active, -changed))[:ROWS])
    return (
        Pair(pair.clean[rows], pair.attacked[rows]),
        f"; the {ROWS} most changed of {words.count(neurons)} neurons",
    )


def _name(example: Example) -> str:
    """Which example, in the descriptions of its drawings."""
    return f"input {example.index} ({example.attack}, {_budget(example)})"


def _budget(example: Example) -> str:
    return words.budget(example.group, example.budget)


def _facts(example: Example) -> dict[str, Any]:
    return {
        "index": example.index,
        "label": example.label,
        "before": example.before,
        "after": example.after,
        "attack": example.attack,
        "budget": _budget(example),
    }
