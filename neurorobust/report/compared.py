"""The 2x2 in a terminal: counts, shares and intervals, in 80 columns."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from neurorobust.records import Comparison
from neurorobust.report import words

Side: TypeAlias = Literal["float", "deployed"]
PAIRS: tuple[tuple[Side, Side], ...] = (
    ("float", "float"),
    ("float", "deployed"),
    ("deployed", "float"),
    ("deployed", "deployed"),
)
LEGEND = (
    "Broken, of the inputs that both networks answer correctly when unchanged: count, share, 95 % "
    "interval."
)


def table(comparisons: tuple[Comparison, ...]) -> Padding:
    """How many inputs were broken, of how many: a row a budget."""
    attacks = words.listed(list(dict.fromkeys(one.attack for one in comparisons)))
    grid = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=Text(f"Inputs broken by {attacks}, crafted on → scored on", style="bold"),
        title_justify="left",
    )
    grid.add_column("budget", justify="right", overflow="fold")
    for crafted, scored in PAIRS:
        grid.add_column(Text(f"{crafted} →\n{scored}"), justify="right", no_wrap=True)
    for comparison in comparisons:
        cells = {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}
        shown = [cells.get(pair) for pair in PAIRS]
        grid.add_row(
            Text(words.budget(comparison.kind, comparison.epsilon)),
            *(Text(words.NOTHING if rate is None else "\n".join(_lines(rate))) for rate in shown),
        )
    return Padding(grid, (0, 0, 0, 2))


def _lines(rate: words.Counted) -> tuple[str, str, str]:
    """`45.5 %`, `437 of 961`, `42.4 to 48.6 %`."""
    counted = f"{words.count(rate.correct)} of {words.count(rate.total)}"
    return words.percent(rate), counted, words.interval(rate)
