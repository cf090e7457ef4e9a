"""`neurorobust card`: what a `.net` file does not say, written beside it, or shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from neurorobust.cli import options
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import session
from neurorobust.errors import CardError

if TYPE_CHECKING:
    from neurorobust.records import Card


@takes_card
def card(
    model: Annotated[
        str, typer.Argument(help="A .net file; or a network's name, to see its card.")
    ],
    described: CardOptions = NO_OPTIONS,
    dataset: options.DatasetName = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write card.json beside a .net file: how the network is fed and read. No options: show it.

    With --overwrite the card that is there is the start, with --card one that lies elsewhere; what
    is typed goes before its fields.
    """
    with session(as_json) as output:
        from neurorobust import api

        found = api.card(
            model, described.card, dataset=dataset, overwrite=overwrite, **described.given()
        )
        output.result(
            path=None if found.path is None else str(found.path),
            written=found.written,
            card=found.card.model_dump(mode="json"),
        )
        output.console.print(f"{found.path or model}\n{in_words(found.card)}", soft_wrap=True)
        if found.misfit:
            raise CardError(found.misfit)


def in_words(found: Card) -> str:
    """A card for people, a line for each thing it says."""
    from neurorobust.report.sentences import encoder, readout

    told = found.encoder
    rows = {
        "data set": found.dataset or "none named: commands need --dataset",
        "encoder": f"{told.kind}: {encoder(told)}",
        "steps": str(found.steps),
        "readout": f"{found.readout}: {readout(found)}",
        "belongs to": "any file" if found.sha256 is None else f"sha256 {found.sha256[:12]}…",
        "notes": found.notes,
    }
    return "\n".join(f"{name:<11} {text}" for name, text in rows.items() if text)
