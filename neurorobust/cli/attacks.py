"""`neurorobust attacks`: what there is to attack with, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from neurorobust.cli import options
from neurorobust.cli.output import session

if TYPE_CHECKING:
    from rich.console import Console

FOOLBOX = (
    "any attack of Foolbox 3 with its authors' parameters, as in foolbox:HopSkipJump",
    "Rauber et al., Journal of Open Source Software 5, 2020",
)


def attacks(as_json: options.Json = False) -> None:
    """List recipes, attacks, controls, backward modes and budgets, each with its source."""
    with session(as_json) as output:
        from neurorobust import api

        found = api.list_attacks()
        output.result(**found)
        show(found, output.console)


def show(found: dict[str, Any], console: Console) -> None:
    """Print the lists for people, one entry a name, its source below it."""
    _list(
        console,
        "Recipes: the strongest first choice",
        (
            (f"{row['also']} = {row['name']}" if row["also"] else row["name"], row)
            for row in found["recipes"]
        ),
    )
    for kind in found["budgets"]:
        taken = [row for row in found["attacks"] if row["budget"] == kind["option"]]
        rows = [(f"{row['name']}", {**row, "source": _known(row)}) for row in taken]
        if kind["option"] == "--eps":
            rows.append(("foolbox:NAME", {"about": FOOLBOX[0], "source": FOOLBOX[1]}))
        _list(console, f"{kind['heading']} ({kind['option']})", rows)
    _list(
        console,
        "Controls, there to be beaten",
        ((row["name"], {**row, "source": f"{row['budget']}; {row['source']}"})
         for row in found["controls"]),
    )  # fmt: skip
    _list(
        console,
        "Backward modes: what an attack believes of the spike's derivative",
        ((row["name"], row) for row in found["modes"]),
    )
    _list(
        console,
        "Budgets: what one sample may change",
        ((row["option"], {"about": row["about"], "source": "   ".join(row["typed"])})
         for row in found["budgets"]),
    )  # fmt: skip


def _known(row: dict[str, Any]) -> str:
    """`white-box; linf, l2; PAPER`."""
    return "; ".join(filter(None, (row["access"], ", ".join(row["norms"]), row["source"])))


def _list(console: Console, head: str, rows: Iterable[tuple[str, dict[str, Any]]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, min_width=18)
    table.add_column()
    for name, row in rows:
        table.add_row(f"  {name}", Text(row["about"]).append(f"\n{row['source']}", "dim"))
    console.print(head, style="bold", markup=False)
    console.print(table)
    console.print()
