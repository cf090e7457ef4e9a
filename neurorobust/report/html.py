"""A record and its samples -> one self-contained page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from neurorobust.backends.registry import find_target
from neurorobust.checks import looked_for
from neurorobust.errors import BadInput
from neurorobust.evaluation import REPORT_FILE, read_record
from neurorobust.readouts import READOUTS
from neurorobust.records import Record
from neurorobust.report import legend, panels, sentences, words
from neurorobust.report.families import families, minima
from neurorobust.report.page import environment
from neurorobust.report.samples import Example, read_examples
from neurorobust.support.files import write_text

SAMPLES_FILE = "samples.npz"
RASTERS = 2  # examples drawn as rasters, per group
UNIT = re.compile(r"([\d.,]+ %|[\d.]+ to [\d.]+ %|ε = [\d./]+|p [=<] [\d.]+)")


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
    pages = environment()
    pages.filters |= {
        "spread": words.spread,
        "place": lambda one: words.budget(one.kind, one.epsilon),
        "budget": lambda one: words.budget(one.kind, one.budget),
        "share": words.share,
        "unbroken": unbroken,
        "named": lambda name: words.attack(record, name),
        "places": lambda value: f"{100 * value:.2f}",
        "width": lambda rate: f"{100 * rate.correct / rate.total if rate.total else 0:.2f}",
    }
    drawn = [example for example in examples if example.image is not None]
    return pages.get_template("template.html.j2").render(
        record=record,
        verdict=sentences.verdict(record),
        redrawn=sentences.redrawn(record),
        transfer=sentences.TRANSFER,
        checks=looked_for(record),
        terms=legend.settings(record),
        families=families(record),
        minima=minima(record),
        recipe=sentences.recipe(record),
        probes=list(sentences.probes(record)),
        on_a_simulator=not find_target(record.backend).chip,
        encoder=sentences.encoder(record.card.encoder),
        readout=sentences.readout(record.card),
        reads_membranes=READOUTS[record.card.readout].membrane,
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


def _first(examples: Sequence[Example]) -> list[Example]:
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.group, []).append(example)
    return [example for group in groups.values() for example in group[:RASTERS]]
