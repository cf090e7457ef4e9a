"""A record and its samples -> one self-contained page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from neurorobust.budgets import size_of
from neurorobust.checks import looked_for
from neurorobust.errors import BadInput
from neurorobust.evaluation import REPORT_FILE, read_record
from neurorobust.files import write_text
from neurorobust.records import Record, RobustRate
from neurorobust.report import figures, panels, sentences, words
from neurorobust.report.samples import Example, read_examples

SAMPLES_FILE = "samples.npz"
RASTERS = 2  # examples drawn as rasters, per group
UNIT = re.compile(r"([\d.,]+ %|[\d.]+ to [\d.]+ %|ε = [\d./]+|p [=<] [\d.]+)")


@dataclass(frozen=True)
class Family:
    """One kind of budget with its results: ε of pictures or flips of spikes."""

    kind: str
    symbol: str
    place: str
    caption: str
    rows: list[tuple[str, RobustRate]]
    attacks: list[str]
    notes: list[str]
    curve_title: str
    curve: dict[str, Markup]
    legend: list[tuple[str, Markup]]


def write_report(directory: Path) -> Path:
    """Show the record in a directory as `report.html` beside it.

    Args:
        directory: holds `record.json` and `samples.npz`.

    Returns:
        the path of the page.

    Raises:
        BadInput: a file is missing, damaged, or does not follow the schema; or the evaluation was
            interrupted before the record was complete.
        OutputError: the page cannot be written.
    """
    record = read_record(directory)
    if record.pending:
        raise BadInput(
            f"{directory}: unfinished: {words.listed(list(record.pending))} still to come; run the "
            "evaluation again with --resume"
        )
    examples = read_examples(directory / SAMPLES_FILE)
    path = directory / REPORT_FILE
    write_text(path, render(record, examples))
    return path


def render(record: Record, examples: Sequence[Example] = ()) -> str:
    """The page as text; the same arguments give the same bytes."""
    environment = Environment(
        loader=PackageLoader("neurorobust", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "interval": words.interval,
        "count": words.count,
        "share": words.share,
        "duration": words.duration,
        "settings": words.settings,
        "unbroken": unbroken,
        "places": lambda value: f"{100 * value:.2f}",
        "width": lambda rate: f"{100 * rate.correct / rate.total if rate.total else 0:.2f}",
    }
    drawn = [example for example in examples if example.image is not None]
    return environment.get_template("template.html.j2").render(
        record=record,
        verdict=sentences.verdict(record),
        redrawn=sentences.redrawn(record),
        transfer=sentences.TRANSFER,
        checks=looked_for(record),
        families=families(record),
        on_a_simulator=record.backend != "loihi2",
        encoder=sentences.encoder(record.card.encoder),
        readout=sentences.readout(record.card),
        adversary=sentences.adversary(record),
        pictures=[panels.picture(example) for example in drawn],
        chosen="The inputs shown were chosen because the attack succeeded on them.",
        rasters=[
            raster
            for example in _first(examples)
            if (raster := panels.rasters(example, record.card.readout))["panels"]
        ],
        comparisons=[
            {
                "data": comparison,
                "cells": {(cell.crafted, cell.scored): cell.success for cell in comparison.cells},
                "sentences": list(sentences.explain(comparison)),
            }
            for comparison in record.comparison
        ],
        confirmation=record.confirmed and sentences.confirmation(record.confirmed),
        confirmed=record.confirmed and record.confirmed.holds,
    )


def unbroken(text: str) -> Markup:
    """Text whose numbers keep their units beside them."""
    return Markup(UNIT.sub(r'<span class="together">\1</span>', str(escape(text))))


def families(record: Record) -> list[Family]:
    """The kinds of budget that were tried."""
    kinds = (
        (
            "eps",
            "ε",
            "ε",
            "ε = {}",
            record.robust,
            "Accuracy under attack, by how far a pixel may change (ε)",
        ),
        (
            "flips",
            "flips",
            "the number of flips",
            "{} flips",
            record.robust_flips,
            "Accuracy under attack, by how many input spikes may be flipped",
        ),
    )
    found = []
    for kind, symbol, grows, place, rates, caption in kinds:
        if not rates:
            continue
        rows = words.by_strength(rates, kind)
        attacks = list(dict.fromkeys(name for _, rate in rows for name in rate.by_attack))
        lines = _lines(record, kind, rows, attacks)
        found.append(
            Family(
                kind=kind,
                symbol=symbol,
                place=place,
                caption=caption,
                rows=rows,
                attacks=attacks,
                notes=list(sentences.refused(rows, place)),
                curve_title=f"How accuracy falls as {grows} grows",
                curve=_curves(lines, kind, rows, symbol),
                legend=figures.legend(lines, symbol),
            )
        )
    return found


def _lines(
    record: Record, kind: str, rows: list[tuple[str, RobustRate]], attacks: list[str]
) -> list[figures.Line]:
    """Every curve; the worst case first: broad, it lies under the attack that it equals."""
    sources: list[tuple[str, str, Sequence[tuple[str, words.Counted]]]] = [
        ("worst case", "worst", list(rows))
    ]
    for name in attacks:
        role = "control" if record.is_control(name) else "attack"
        tried = [(typed, rate.by_attack[name]) for typed, rate in rows if name in rate.by_attack]
        sources.append((name, role, tried))
    lines = []
    for name, role, points in sources:
        steps = [(x, rate) for typed, rate in points if (x := size_of(kind, typed)) > 0]
        rates: list[words.Counted] = [record.clean, *(rate for _, rate in steps)]
        lines.append(
            figures.Line(
                name=f"{name} (control)" if role == "control" else name,
                role=role,
                x=[0.0, *(x for x, _ in steps)],
                y=[rate.correct / rate.total if rate.total else 0.0 for rate in rates],
                low=[rate.interval[0] for rate in rates],
                high=[rate.interval[1] for rate in rates],
            )
        )
    return lines


def _curves(
    lines: list[figures.Line], kind: str, rows: list[tuple[str, RobustRate]], symbol: str
) -> dict[str, Markup]:
    """A wide and a narrow drawing of the same curve; empty where there is no budget above 0."""
    ticks = ["0", *(typed for typed, _ in rows if size_of(kind, typed) > 0)]
    if len(ticks) < 2:
        return {}
    axis = "ε, largest change of a pixel" if symbol == "ε" else "spikes flipped"
    told = ", ".join(f"{words.percent(rate)} at {typed}" for typed, rate in rows)
    label = f"Accuracy over {axis}. Worst case: {told}."
    return {
        name: figures.curve(lines, ticks, axis, label, width=width, height=height)
        for name, width, height in (("wide", 800, 380), ("phone", 360, 300))
    }


def _first(examples: Sequence[Example]) -> list[Example]:
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.group, []).append(example)
    return [example for group in groups.values() for example in group[:RASTERS]]
