"""A record -> a terminal table that fits 80 columns."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from neurorobust.records import Comparison, Confirmation, Record, RobustRate
from neurorobust.report import compared, legend, sentences, words
from neurorobust.report.groups import Group, groups

UNBOUNDED = 10_000  # columns: wider than any table
LONG = 12  # characters of a budget that leave room for a list of attacks


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
        console.print(_robust(record, group, console))
        for typed, rate in group.rows:
            if rate.by_seed:
                _line(console, "spread", f"{group.place(typed)}, {len(rate.by_seed)} seeds: "
                      f"{words.spread(rate)}")  # fmt: skip
    if tried:
        told = " ".join(["Still answered correctly under attack.", *legend.table(record, tried)])
        console.print(Text(told, style="dim"))
        console.print()
    for group in tried:
        if (name := group.kind.name) in record.minimum and record.minimum[name].total:
            _line(console, "smallest", sentences.minimum(group, record.minimum[name]))
    for found in record.targeted:
        for name, reached in found.by_attack.items():
            where = words.budget(found.kind, found.budget)
            share = f"{words.percent(reached)} ({words.interval(reached)})"
            of = f"of {words.count(reached.total)} inputs taken for a class drawn for each"
            _line(console, "class reached", f"{name}, {where}: {share} {of}")
    baseline = sentences.redrawn(record)
    if baseline is not None:
        _line(console, "drawn again", f"{baseline}.")
    if record.comparison:
        console.print(compared.table(record.comparison))
        console.print(Text(f"{compared.LEGEND} {sentences.TRANSFER}", style="dim"))
        for comparison in record.comparison:
            where = words.budget(comparison.kind, comparison.epsilon)
            _line(console, "each attacked", f"{where}: {sentences.paired(comparison)}")
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
    if not record.flags and record.attacks:
        _line(console, "red flags", "none raised", "green")
    elif not record.flags:
        _line(console, "red flags", "none raised; not attacked, robustness is not known")
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


def _robust(record: Record, group: Group, console: Console) -> Padding:
    """Every attack in a column of its own where they fit, else all in one."""
    rows = group.rows
    attacks = list(dict.fromkeys(name for _, rate in rows for name in rate.by_attack))
    typed = [text for text, _ in rows]
    each = [{name: _left(rate, name) for name in attacks} for _, rate in rows]
    if not any(rate.carried for _, rate in rows):
        heads = [words.attack(record, name) for name in attacks]
        beside = _table(group, typed, heads, [list(shares.values()) for shares in each], "right")
        options = console.options.update(width=UNBOUNDED)
        if Measurement.get(console, options, beside).maximum <= console.width:
            return beside
    for (_, rate), shares in zip(rows, each, strict=True):
        if rate.carried:
            shares["found at a smaller budget"] = f"-{rate.carried}"
    lines = [
        "\n".join(f"{share:>7} {words.attack(record, name)}" for name, share in shares.items())
        for shares in each
    ]
    broken = [text if len(text) <= LONG else text.replace("+", "\n+") for text in typed]
    return _table(group, broken, ["by attack"], [[cell] for cell in lines], "left")


def _table(
    group: Group,
    typed: list[str],
    heads: list[str],
    cells: list[list[str]],
    justify: Literal["left", "right"],
) -> Padding:
    """Budgets, worst cases and what stands beside them."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(group.scale.symbol, justify="right", no_wrap=True)
    table.add_column("worst case", style="bold", no_wrap=True)
    for head in heads:
        table.add_column(Text(head), justify=justify, overflow="fold")
    for text, (_, rate), row in zip(typed, group.rows, cells, strict=True):
        worst = f"{words.percent(rate)} ({words.interval(rate)})"
        table.add_row(Text(text), Text(worst), *map(Text, row))
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
