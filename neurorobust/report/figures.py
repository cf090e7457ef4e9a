"""Arrays -> inline SVG, drawn by matplotlib, coloured by the page.

matplotlib draws with placeholder colours; they become CSS variables, so that one drawing serves light, dark and
print. Labels stay text. The same input gives the same bytes: no dates, hashed ids salted with the drawing's name.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.image import imsave

INK, MUTED, RULE = "#010203", "#010204", "#010205"
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
WORST, CONTROL = "#010221", "#010222"
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", WORST: "worst", CONTROL: "control"} | {
    colour: f"series{number}" for number, colour in enumerate(SERIES)
}
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")

KEPT, ADDED, LOST = (120, 128, 140), (214, 84, 30), (40, 120, 220)
# Spikes in both runs, only in the attacked one, only in the clean one: mid tones that read on light and dark.

Image = npt.NDArray[np.uint8]


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


def legend(lines: Sequence[Line]) -> list[tuple[str, Markup]]:
    """Names and small drawings of the lines, for a legend that wraps like text."""
    entries = []
    for line, (colour, dash, marker) in zip(lines, styles(lines), strict=True):
        figure, axes = _canvas(34, 14)
        axes.set_position((0, 0, 1, 1))
        axes.axis("off")
        axes.plot([0, 1, 2], [0, 0, 0], color=colour, linestyle=dash, linewidth=_width(line))
        axes.plot([1], [0], color=colour, marker=marker, markersize=5)
        entries.append((line.name, _svg(figure, f"legend {line.name}", None)))
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
        width, height: in CSS pixels.
    """
    figure, axes = _canvas(width, height)
    for line, (colour, dash, marker) in zip(lines, styles(lines), strict=True):
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.14, linewidth=0)
        axes.plot(
            line.x,
            line.y,
            color=colour,
            linestyle=dash,
            linewidth=_width(line),
            marker=marker,
            markersize=5,
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
    figure.subplots_adjust(
        left=52 / width, right=1 - 22 / width, top=1 - 12 / height, bottom=46 / height
    )
    return _svg(figure, f"curve {width} {label}", label)


def raster(clean: Image, attacked: Image, label: str, *, compare: bool) -> Markup:
    """One spike raster, neurons downwards, time to the right.

    Args:
        clean: 0/1 `[neurons, time]`.
        attacked: 0/1 of the same shape.
        label: what a reader who cannot see it is told.
        compare: draw the attacked raster with added and lost spikes marked; else the clean one alone.
    """
    pixels = np.zeros((*clean.shape, 4), dtype=np.uint8)
    before, after = clean > 0, attacked > 0
    if compare:
        pixels[before & after] = (*KEPT, 255)
        pixels[after & ~before] = (*ADDED, 255)
        pixels[before & ~after] = (*LOST, 255)
    else:
        pixels[before] = (*KEPT, 255)
    figure, axes = _canvas(250, 216)
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
    figure.subplots_adjust(left=34 / 250, right=1 - 8 / 250, top=1 - 6 / 216, bottom=26 / 216)
    return _svg(figure, f"raster {label}", label)


def picture(image: npt.NDArray[np.floating], label: str) -> Markup:
    """An image `[C, H, W]` in [0, 1], pixel by pixel."""
    return _pixels(_as_bytes(_as_colour(np.clip(image, 0, 1))), label)


def difference(
    clean: npt.NDArray[np.floating], attacked: npt.NDArray[np.floating], label: str
) -> Markup:
    """What was changed: brighter pixels in the colour of added, darker ones in that of lost, the largest opaque.

    The mean over channels where there are several.
    """
    change = (attacked - clean).mean(0)
    largest = float(np.abs(change).max())
    pixels = np.zeros((*change.shape, 4), dtype=np.uint8)
    pixels[change > 0, :3] = ADDED
    pixels[change < 0, :3] = LOST
    if largest > 0:
        pixels[..., 3] = np.rint(255 * np.abs(change) / largest)
    return _pixels(pixels, label)


def _as_colour(image: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """`[H, W, 3]`: grey for one channel, colours for three, the mean of any other number."""
    if image.shape[0] != 3:
        image = np.repeat(image.mean(0, keepdims=True), 3, axis=0)
    return np.moveaxis(image, 0, -1)


def _as_bytes(colour: npt.NDArray[np.floating]) -> Image:
    return np.rint(255 * colour).astype(np.uint8)


def _pixels(pixels: Image, label: str) -> Markup:
    height, width = pixels.shape[:2]
    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png", metadata={"Software": None}, pil_kwargs={"optimize": True})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup(
        '<svg class="pixels" role="img" aria-label="{}" viewBox="0 0 {} {}">'
        '<image width="{}" height="{}" href="data:image/png;base64,{}"/></svg>'
    ).format(label, width, height, width, height, data)


def _canvas(width: int, height: int) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=12, length=3)
    axes.xaxis.label.set(color=MUTED, fontsize=12)
    axes.spines["bottom"].set_color(MUTED)
    return figure, axes


def _width(line: Line) -> float:
    return 2.6 if line.role == "worst" else 1.6


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


def _svg(figure: Figure, salt: str, label: str | None) -> Markup:
    """The drawing as an inline element; without a label it is decoration."""
    buffer = io.StringIO()
    settings = {"svg.hashsalt": salt, "svg.fonttype": "none", "svg.image_inline": True}
    with matplotlib.rc_context(settings):
        figure.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    view = re.search(r'viewBox="([^"]+)"', text)
    assert view is not None
    body = text[text.index(">") + 1 :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL
    )
    used = set(re.findall(r"#(\w+)", body))
    body = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", body)
    body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
    body = re.sub(r" ?font-family: [^;\"]*;?", "", body)
    body = body.replace("xlink:href", "href")
    for colour, name in VARIABLES.items():
        body = body.replace(colour, f"var(--{name})")
    body = re.sub(r"\s*\n\s*", "\n", body)
    named = Markup('role="img" aria-label="{}"').format(label) if label else 'aria-hidden="true"'
    return Markup(f'<svg class="drawing" {named} viewBox="{escape(view[1])}">{body}')
