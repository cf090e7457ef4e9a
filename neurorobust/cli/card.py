"""`neurorobust card`: what a `.net` file does not say, written beside it, or shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.card_options import (
    HOW,
    NO_OPTIONS,
    CardOptions,
    changed,
    combined,
    lacks,
    takes_card,
)
from neurorobust.cli.output import session
from neurorobust.errors import BadInput, CardError, OutputError

if TYPE_CHECKING:
    from neurorobust.netx.model import NetxModel
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
        from neurorobust import models

        path, known, _ = models.locate(model)
        network = models.locate_model(model)
        given = described.given() | ({} if dataset is None else {"dataset": dataset})
        writes = bool(given) or described.card is not None or overwrite
        where = None if known is not None else path.parent / models.CARD_FILE
        if writes:
            if where is None or model in models.catalogue():
                raise BadInput(
                    f"{model}: its card comes with it; copy {path} for a card of your own"
                )
            found = prepared(path, network, described.start(), given, overwrite)
            models.write_card(found, where)
        else:
            there = models.card_of(model)
            if there is None:
                raise CardError(models.no_card(path))
            found = there
        output.result(
            path=None if where is None else str(where),
            written=writes,
            card=found.model_dump(mode="json"),
        )
        output.console.print(f"{where or model}\n{in_words(found)}", soft_wrap=True)
        check_fit(found, network, path)


def prepared(
    path: Path,
    network: NetxModel,
    start: Card | None,
    given: dict[str, Any],
    overwrite: bool = False,
) -> Card:
    """The card of a file, checked against it; nothing is written.

    Args:
        path: the `.net` file.
        network: what it holds.
        start: what the options change; None: the card beside the file, if there is one.
        given: values by option, `dataset` too.
        overwrite: whether a card beside the file may be replaced.

    Raises:
        OutputError: it may not.
        CardError: an option is missing or has no such value, or the card does not fit.
    """
    from neurorobust import datasets, models

    free(path, overwrite)
    if start is None:
        try:
            start = models.card_of(str(path))
        except CardError:
            if lacks(combined(None, given)):
                raise
    if start is not None and start.sha256 not in (None, network.sha256):
        start = type(start).model_validate({key: start.model_dump()[key] for key in HOW})
    found = changed(start, given).model_copy(update={"sha256": network.sha256})
    if found.dataset is not None:
        datasets.check_name(found.dataset)
    check_fit(found, network, path)
    return found


def free(path: Path, overwrite: bool) -> None:
    """Refuse to replace the card beside a `.net` file, unless asked to.

    Raises:
        OutputError: there is one, or a folder of its name.
    """
    from neurorobust.models import CARD_FILE

    card = path.parent / CARD_FILE
    if card.is_dir():
        raise OutputError(f"{card}: is a folder")
    if card.exists() and not overwrite:
        raise OutputError(f"{card}: exists already; --overwrite replaces it")


def check_fit(found: Card, network: NetxModel, path: Path) -> None:
    """Refuse a card that describes another network, or whose drive is beyond Lava's biases.

    Raises:
        CardError: naming what does not fit.
    """
    import torch

    from neurorobust import models
    from neurorobust.classifier import Network

    models.check_card(found, network, path)
    if found.encoder.code.input_layer:
        ends = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, *network.input_shape)
        try:
            Network("", network, found).encoder.encode(ends)
        except BadInput as error:
            raise CardError(
                f"card of {path}: pixels 0 and 1, {error}; another --mean and --std"
            ) from error


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
