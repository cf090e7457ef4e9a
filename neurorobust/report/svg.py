"""matplotlib drawings as inline SVG, coloured by the page.

matplotlib draws with placeholder colours; they become CSS variables, so that one drawing serves
light, dark and print. Labels stay text. The same input gives the same bytes: no dates, and ids are
hashes salted with the drawing's name.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:  # matplotlib takes a second to import: only drawing loads it
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#010203", "#010204", "#010205"
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216")
WORST, CONTROL = "#010221", "#010222"
VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", WORST: "worst", CONTROL: "control"} | {
    colour: f"series{number}" for number, colour in enumerate(SERIES)
}


def canvas(width: int, height: int) -> tuple[Figure, Axes]:
    """An empty drawing of this many CSS pixels, transparent, with quiet axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    axes.tick_params(colors=MUTED, labelsize=12, length=3)
    axes.xaxis.label.set(color=MUTED, fontsize=12)
    axes.spines["bottom"].set_color(MUTED)
    return figure, axes


def margins(
    axes: Axes, width: int, height: int, *, left: int, right: int, top: int, bottom: int
) -> None:
    """Leave this many pixels around the axes."""
    across, along = (width - left - right) / width, (height - top - bottom) / height
    axes.set_position((left / width, bottom / height, across, along))


def svg(figure: Figure, salt: str, label: str | None) -> Markup:
    """The drawing as an inline element; without a label it is decoration."""
    import matplotlib

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
