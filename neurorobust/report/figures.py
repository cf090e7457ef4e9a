"""Curves, spike rasters and membranes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from neurorobust.report.pixels import ADDED, KEPT, LOST
from neurorobust.report.samples import Integers
from neurorobust.report.svg import CONTROL, MUTED, RULE, SERIES, WORST, canvas, margins, svg

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")

PANEL = (196, 184)  # CSS pixels of one raster


@dataclass(frozen=True)
class Line:
    """One curve over budgets: shares in [0, 1] with their intervals."""

    name: str
    role: str  # worst, control or attack
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def styles(lines: Sequence[Line]) -> list[tuple[str, str | tuple[int, tuple[int, ...]], str]]:
    """Colour, dash and marker of every line: never told apart by colour alone."""
    chosen: list[tuple[str, str | tuple[int, tuple[int, ...]], str]] = []
    attacks = 0
    for line in lines:
        if line.role == "worst":
            chosen.append((WORST, "-", "o"))
        elif line.role == "control":
            chosen.append((CONTROL, ":", "x"))
        else:
            place = attacks % len(SERIES)
            chosen.append(
                (SERIES[place], DASHES[(place + 1) % len(DASHES)], MARKERS[(place + 1) % 6])
            )
            attacks += 1
    return chosen


def legend(lines: Sequence[Line], axis: str) -> list[tuple[str, Markup]]:
    """Names and small drawings of the lines, for a legend that wraps like text."""
    entries = []
    for line, (colour, dash, marker) in zip(lines, styles(lines), strict=True):
        figure, axes = canvas(34, 14)
        axes.set_position((0, 0, 1, 1))
        axes.axis("off")
        axes.plot([0, 1, 2], [0, 0, 0], color=colour, linestyle=dash, linewidth=_width(line))
        axes.plot([1], [0], color=colour, marker=marker, markersize=5)
        entries.append((line.name, svg(figure, f"legend {axis} {line.name}", None)))
    return entries


def curve(
    lines: Sequence[Line], ticks: Sequence[str], axis: str, label: str, *, width: int, height: int
) -> Markup:
    """Share still right over the budget, with a band for every interval.

    Args:
        lines: the first point of each is the budget 0.
        ticks: what is written under each x of the first line.
        axis: name of the horizontal axis.
        label: what a reader who cannot see it is told.
        width: of the drawing, in CSS pixels.
        height: likewise.
    """
    figure, axes = canvas(width, height)
    for line, (colour, dash, marker) in zip(lines, styles(lines), strict=True):
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(
            line.x,
            line.y,
            color=colour,
            linestyle=dash,
            linewidth=_width(line),
            marker=marker,
            markersize=7 if line.role == "worst" else 5,
            clip_on=False,
        )
    axes.set_ylim(0, 1)
    axes.set_xlim(0, max(lines[0].x) or 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xticks(*_apart(lines[0].x, ticks, width))
    axes.set_xlabel(axis)
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    margins(axes, width, height, left=50, right=22, top=12, bottom=46)
    return svg(figure, f"curve {width} {label}", label)


def stairs(
    steps: Sequence[tuple[float, int]],
    total: int,
    largest: float,
    axis: str,
    label: str,
    *,
    width: int,
    height: int,
) -> Markup:
    """Share still standing over the smallest budget found, as a staircase.

    Args:
        steps: (budget, inputs still standing at it), budgets rising.
        total: inputs.
        largest: budget that was tried.
        axis: name of the horizontal axis.
        label: what a reader who cannot see it is told.
        width: of the drawing, in CSS pixels.
        height: likewise.
    """
    figure, axes = canvas(width, height)
    x = [0.0, *(budget for budget, _ in steps), largest]
    y = [1.0, *(left / total for _, left in steps)]
    y.append(y[-1])
    axes.fill_between(x, y, step="post", color=WORST, alpha=0.14, linewidth=0)
    axes.step(x, y, where="post", color=WORST, linewidth=2.2)
    axes.set_ylim(0, 1)
    axes.set_xlim(0, largest or 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel(f"smallest {axis}")
    axes.grid(axis="y", color=RULE, linewidth=0.8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    margins(axes, width, height, left=50, right=22, top=12, bottom=46)
    return svg(figure, f"stairs {width} {label}", label)


def raster(clean: Integers, attacked: Integers, label: str, *, compare: bool) -> Markup:
    """One spike raster, neurons downwards, time to the right.

    Args:
        clean: 0/1 `[neurons, time]`.
        attacked: 0/1 of the same shape.
        label: what a reader who cannot see it is told.
        compare: draw the attacked raster, added and lost spikes marked; else the clean one.
    """
    pixels = np.zeros((*clean.shape, 4), dtype=np.uint8)
    before, after = clean > 0, attacked > 0
    if compare:
        pixels[before & after] = (*KEPT, 255)
        pixels[after & ~before] = (*ADDED, 255)
        pixels[before & ~after] = (*LOST, 255)
    else:
        pixels[before] = (*KEPT, 255)
    figure, axes = canvas(*PANEL)
    axes.imshow(pixels, aspect="auto", interpolation="none")
    neurons, steps = clean.shape
    axes.set_xticks([0, steps - 1] if steps > 1 else [0])
    axes.set_yticks(range(neurons) if neurons <= 12 else [0, neurons - 1])
    if neurons <= 12:
        axes.set_yticks(np.arange(neurons + 1) - 0.5, minor=True)
        axes.grid(which="minor", axis="y", color=RULE, linewidth=0.8)
    axes.tick_params(which="both", length=0)
    axes.set_xlabel("time step", labelpad=-9)
    for side in axes.spines.values():
        side.set_color(RULE)
    margins(axes, *PANEL, left=30, right=8, top=6, bottom=26)
    return svg(figure, f"raster {label}", label)


def membrane(values: Integers, limit: int, label: str) -> Markup:
    """The membrane of every output neuron as a bar, the largest in the colour of the worst case.

    Args:
        values: `[neurons]`.
        limit: the largest size of any value in the drawings that are to be compared, at least 1.
        label: what a reader who cannot see it is told.
    """
    figure, axes = canvas(*PANEL)
    places = np.arange(len(values))
    colours = [WORST if place == int(values.argmax()) else CONTROL for place in places]
    axes.barh(places, values, color=colours, height=0.7)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xticks([-limit, 0, limit], [f"{-limit:,}", "0", f"{limit:,}"])
    first, _, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    axes.set_yticks(places if len(values) <= 12 else [0, len(values) - 1])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_color(RULE)
    margins(axes, *PANEL, left=30, right=8, top=6, bottom=26)
    return svg(figure, f"membrane {label}", label)


def _width(line: Line) -> float:
    return 4.0 if line.role == "worst" else 1.6


def _apart(
    places: Sequence[float], names: Sequence[str], width: int
) -> tuple[list[float], list[str]]:
    """Ticks whose names do not run into each other; the first and the last always stay."""
    span, kept = max(places) or 1.0, [0]
    for number in range(1, len(places)):
        room = (places[number] - places[kept[-1]]) / span * (width - 74)
        if room >= 4 * (len(names[number]) + len(names[kept[-1]])) + 8:
            kept.append(number)
        elif number == len(places) - 1 and len(kept) > 1:
            kept[-1] = number
    return [places[number] for number in kept], [names[number] for number in kept]
