"""A record -> a terminal table that fits 80 columns."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from neurorobust.checks import looked_for
from neurorobust.records import Comparison, Confirmation, Record, RobustRate
from neurorobust.report import sentences, words
from neurorobust.report.groups import Group, groups

WIDE = 3  # attacks that fit beside the worst case; with more, each gets a line of its own
PAIRS = (
    ("float", "float"),
    ("float", "deployed"),
    ("deployed", "float"),
    ("deployed", "deployed"),
)


def print_record(record: Record, console: Console, report: Path | None = None) -> None:
    """Print what a record says, for somebody who sees such a table for the first time.

    Args:
        record: the result.
        console: where to; text of the record is never read as markup.
        report: path of the page, shown as the last line.
    """
    console.print()
    console.print(Text.assemble((record.model, "bold"), " on ", (record.dataset, "bold")))
    _line(console, "where it ran", record.target)
    _line(
        console,
        "unchanged inputs",
        f"{words.percent(record.clean)} answered correctly, {words.count(record.clean.correct)} of "
        f"{words.count(record.clean.total)} (95 % interval {words.interval(record.clean)})",
    )
    recipe = sentences.recipe(record)
    if recipe is not None:
        _line(console, "recipe", recipe)
    tried = groups(record)
    for group in tried:
        console.print(_robust(record, group))
        for typed, rate in group.rows:
            if rate.by_seed:
                _line(console, "spread", f"{group.place(typed)}, {len(rate.by_seed)} seeds: "
                      f"{words.spread(rate)}")  # fmt: skip
    if tried:
        console.print(
            Text(
                "Still answered correctly under attack. Worst case: after every attack tried, with "
                "its 95 % interval. ε: how far each pixel may change (black 0, white 1). "
                "Control: blind noise."
                + (
                    " -3/40: broke 3 of the 40 samples that had survived."
                    if record.recipe is not None
                    else ""
                ),
                style="dim",
            )
        )
        console.print()
    for group in tried:
        if group.kind in record.minimum and record.minimum[group.kind].total:
            _line(console, "smallest", sentences.minimum(group, record.minimum[group.kind]))
    for found in record.targeted:
        for name, reached in found.by_attack.items():
            where = words.budget(found.kind, found.budget)
            share = f"{words.percent(reached)} ({words.interval(reached)})"
            _line(console, "class reached", f"{name}, {where}: {share}")
    baseline = sentences.redrawn(record)
    if baseline is not None:
        _line(console, "drawn again", f"{baseline}.")
    if record.comparison:
        console.print(_compared(record.comparison))
        console.print(Text(sentences.TRANSFER, style="dim"))
        for line in _rounding(record.comparison):
            _line(console, "rounding alone", line)
    for parity in record.parity:
        outcome = "identical" if parity.identical else f"different: {parity.first_difference}"
        _line(
            console,
            "parity",
            f"{parity.first} and {parity.second}, "
            f"{words.plural(parity.samples, 'input')}: {outcome}",
            None if parity.identical else "red",
        )
    if record.confirmed is not None:
        good = record.confirmed.holds
        where = f"; first difference: {record.confirmed.first_difference}"
        _line(
            console,
            "confirmed" if good else "NOT confirmed",
            sentences.confirmation(record.confirmed)
            + _speed(record.confirmed)
            + (where if record.confirmed.first_difference else ""),
            "green" if good else "red",
        )
    for flag in record.flags:
        _line(console, "RED FLAG", flag, "red")
    if not record.flags and looked_for(record):
        _line(console, "red flags", "none raised", "green")
    elif not record.flags:
        _line(console, "red flags", "not attacked: nothing was looked for")
    if report is not None:
        console.print(Text.assemble(("report", "bold"), "  ", str(report)), soft_wrap=True)


def _speed(confirmed: Confirmation) -> str:
    """` (92.7 samples/s; untested on ...)`, as far as the target tells."""
    told = confirmed.measured
    rate = told.get("samples_per_second")
    parts = [f"{rate:.1f} samples/s"] if rate else []
    parts += [told["note"]] if "note" in told else []
    return f" ({'; '.join(parts)})" if parts else ""


def _line(console: Console, name: str, text: str, style: str | None = None) -> None:
    """A name and its text; the text hangs under itself where it wraps."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, width=16)
    grid.add_column(overflow="fold")
    grid.add_row(Text(name, style=style or "dim"), Text(text))
    console.print(grid)


def _robust(record: Record, group: Group) -> Padding:
    rows = group.rows
    attacks = list(dict.fromkeys(name for _, rate in rows for name in rate.by_attack))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(group.symbol, justify="right", no_wrap=True)
    table.add_column("worst case", style="bold", no_wrap=True)
    beside = len(attacks) <= WIDE and not any(rate.carried for _, rate in rows)
    for name in attacks if beside else ("by attack",):
        control = " (control)" if record.is_control(name) else ""
        table.add_column(
            Text(name + control), justify="right" if beside else "left", overflow="fold"
        )
    for typed, rate in rows:
        worst = f"{words.percent(rate)} ({words.interval(rate)})"
        each = {name: _left(rate, name) for name in attacks}
        if rate.carried:
            each["found at a smaller budget"] = f"-{rate.carried}"
        lines = "\n".join(f"{share:>7} {name}" for name, share in each.items())
        cells = list(each.values()) if beside else [lines]
        table.add_row(Text(typed), Text(worst), *(Text(cell) for cell in cells))
    return Padding(table, (0, 0, 0, 2))


def _left(rate: RobustRate, name: str) -> str:
    """Share still right; of a recipe's member how many it took of those it was given."""
    if name not in rate.by_attack:
        return words.NOTHING
    outcome = rate.by_attack[name]
    if outcome.asked is None:
        return words.percent(outcome)
    return f"-{outcome.success.correct}/{outcome.asked}"


def _rounding(comparisons: tuple[Comparison, ...]) -> list[str]:
    """What the export changed without any attack; once, where every comparison says the same."""
    return list(
        dict.fromkeys(
            f"{words.percent(comparison.clean_float)} of unchanged inputs right on float, "
            f"{words.percent(comparison.clean_deployed)} on deployed; "
            f"{words.plural(comparison.flips, 'answer')} of "
            f"{words.count(comparison.clean_deployed.total)} changed"
            for comparison in comparisons
        )
    )


def _compared(comparisons: tuple[Comparison, ...]) -> Padding:
    table = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        title=Text("Inputs broken, crafted on → scored on", style="bold"),
        title_justify="left",
    )
    table.add_column("budget", justify="right", no_wrap=True)
    table.add_column("attack", overflow="fold")
    for crafted, scored in PAIRS:
        table.add_column(Text(f"{crafted} →\n{scored}"), justify="right")
    table.add_column(Text("McNemar"), no_wrap=True)
    for comparison in comparisons:
        cells = {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}
        table.add_row(
            Text(words.budget(comparison.kind, comparison.epsilon)),
            Text(comparison.attack),
            *(
                Text(words.percent(cells[pair]) if pair in cells else words.NOTHING)
                for pair in PAIRS
            ),
            Text(words.p_value(comparison.mcnemar_p)),
        )
    return Padding(table, (0, 0, 0, 2))
