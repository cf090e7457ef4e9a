"""Budgets as options of the command line: one for each kind, for every command that takes them.

@takes_budgets
def evaluate(model: ..., budgets: BudgetOptions, ...) -> None:
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.budgets import KINDS
from neurorobust.cli.option_sets import Command, Option, expanded
from neurorobust.cli.options import names

if TYPE_CHECKING:
    from neurorobust.rates import RobustRate


class BudgetOptions(dict[str, tuple[str, ...]]):
    """Budgets as typed, by kind; without kinds of which none was typed."""


NO_BUDGETS = BudgetOptions()


def takes_budgets(command: Command) -> Command:
    """A command whose parameter of type `BudgetOptions` is an option for each of `KINDS`."""
    options = [
        Option(kind.name, Annotated[str, typer.Option(help=kind.option)], "")
        for kind in KINDS.values()
    ]

    def made(typed: dict[str, str]) -> BudgetOptions:
        read = {kind: names(text) for kind, text in typed.items()}
        return BudgetOptions({kind: texts for kind, texts in read.items() if texts})

    return expanded(command, BudgetOptions, options, made)


def rates_by_key(
    robust: Mapping[str, Mapping[str, RobustRate]], fields: Sequence[str]
) -> dict[str, Any]:
    """Rates as `--json` prints them: `robust` for eps, `robust_flips` and so on for other kinds.

    Args:
        robust: by kind of budget and budget as typed.
        fields: of each rate.
    """
    return {
        "robust" if kind == "eps" else f"robust_{kind}": {
            text: rate.model_dump(mode="json", include=set(fields))
            for text, rate in robust.get(kind, {}).items()
        }
        for kind in KINDS
    }
