"""`neurorobust attacks`: what there is to attack with, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from neurorobust.cli import options
from neurorobust.cli.output import session

if TYPE_CHECKING:
    from rich.console import Console

    from neurorobust.attacks import Attack
    from neurorobust.attacks.listing import Listed

FOOLBOX = (
    "any attack of Foolbox 3 with its authors' parameters, as in foolbox:HopSkipJump",
    "Rauber et al., Journal of Open Source Software 5, 2020",
)


def attacks(as_json: options.Json = False) -> None:
    """List recipes, attacks, controls, backward modes and budgets, each with its source."""
    with session(as_json) as output:
        found = everything()
        output.result(**found)
        show(found, output.console)


def everything() -> dict[str, Any]:
    """What `attacks --json` prints, read from the registries."""
    from neurorobust.attacks import LISTED, modes
    from neurorobust.attacks.recipes import LATEST, RECIPES
    from neurorobust.budgets import KINDS

    rows = [_row(entry) for entry in LISTED]
    short = {name: alias for alias, name in LATEST.items()}
    return {
        "recipes": [
            {
                "name": recipe.name,
                "also": short.get(recipe.name),
                "about": f"{len(recipe.ready().members)} attacks and controls, "
                "each on what survived those before it",
                "source": "ours: docs/attacks.md",
                "attacks": list(dict.fromkeys(one.attack.name for one in recipe.members)),
            }
            for recipe in RECIPES.values()
        ],
        "attacks": [row for row in rows if not row["control"]],
        "controls": [row for row in rows if row["control"]],
        "modes": [
            {"name": entry.member.name, "about": entry.about, "source": entry.source}
            for entry in modes.LISTED
        ],
        "budgets": [
            {"option": f"--{kind.name}", "about": kind.about, "typed": list(kind.examples)}
            for kind in KINDS.values()
        ],
    }


def _row(entry: Listed[Attack]) -> dict[str, Any]:
    attack = entry.member
    return {
        "name": attack.name,
        "budget": f"--{attack.kind}",
        "norms": list(getattr(attack, "norms", ())),
        "access": attack.access,
        "control": attack.control,
        "about": entry.about,
        "source": entry.source,
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the lists for people, one entry a name, its source below it."""
    from neurorobust.budgets import KINDS

    _list(
        console,
        "Recipes: the strongest first choice",
        (
            (f"{row['also']} = {row['name']}" if row["also"] else row["name"], row)
            for row in found["recipes"]
        ),
    )
    for kind in KINDS.values():
        taken = [row for row in found["attacks"] if row["budget"] == f"--{kind.name}"]
        rows = [(f"{row['name']}", {**row, "source": _known(row)}) for row in taken]
        if kind.name == "eps":
            rows.append(("foolbox:NAME", {"about": FOOLBOX[0], "source": FOOLBOX[1]}))
        _list(console, f"{kind.heading} (--{kind.name})", rows)
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
