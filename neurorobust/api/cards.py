"""What a `.net` file does not say: its card, shown or written beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurorobust import datasets, models
from neurorobust.api.card_fields import HOW, changed, combined, known, lacks
from neurorobust.api.networks import read
from neurorobust.classifier import Network
from neurorobust.errors import BadInput, CardError, OutputError
from neurorobust.netx.model import NetxModel
from neurorobust.records import Card


@dataclass(frozen=True)
class Described:
    """A card and where it lies.

    Attributes:
        card: how the network is fed and read.
        path: the card's file; None: it comes with a named network.
        written: whether it was written now.
        misfit: why the network cannot be fed or read so; empty where it can.
    """

    card: Card
    path: Path | None
    written: bool
    misfit: str = ""


def card(
    reference: str | Path,
    start: Card | Path | str | None = None,
    *,
    dataset: str | None = None,
    overwrite: bool = False,
    **said: Any,
) -> Described:
    """Write `card.json` beside a `.net` file; with nothing but a reference: read it.

    Args:
        reference: the path of a `.net` file; or a network's name, to see its card.
        start: a card, or the path of one, that `said` changes; None: the card beside the file.
        dataset: name of the data set that the network was made for.
        overwrite: replace the card that is there; it is the start then.
        said: as in `load`.

    Raises:
        BadInput: neither a name nor a file, or a name where a card would be written.
        CardError: there is none; a field is missing or has no such value; or what would be written
            does not fit the network.
        OutputError: a card is there and `overwrite` was not given, or it cannot be written.

    Example:
        >>> card("digits-mlp").card.encoder.kind
        'drive'
    """
    name = str(reference)
    path, own, _ = models.locate(name)
    network = models.locate_model(name)
    given = known({**said, "dataset": dataset})
    where = None if own is not None else path.parent / models.CARD_FILE
    if given or start is not None or overwrite:
        if where is None or name in models.catalogue():
            raise BadInput(f"{name}: its card comes with it; copy {path} for a card of your own")
        found = prepared(path, network, read(start), given, overwrite)
        models.write_card(found, where)
        return Described(found, where, True)
    there = models.card_of(name)
    if there is None:
        raise CardError(models.no_card(path))
    try:
        require_fit(there, network, path)
    except CardError as error:
        return Described(there, where, False, str(error))
    return Described(there, where, False)


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
    require_fit(found, network, path)
    return found


def free(path: Path, overwrite: bool) -> None:
    """Refuse to replace the card beside a `.net` file, unless asked to.

    Raises:
        OutputError: there is one, or a folder of its name.
    """
    card = path.parent / models.CARD_FILE
    if card.is_dir():
        raise OutputError(f"{card}: is a folder")
    if card.exists() and not overwrite:
        raise OutputError(f"{card}: exists already; --overwrite replaces it")


def require_fit(found: Card, network: NetxModel, path: Path) -> None:
    """Refuse a card that describes another network, or whose drive is beyond Lava's biases.

    Raises:
        CardError: naming what does not fit.
    """
    models.check_card(found, network, path)
    if found.encoder.code.input_layer:
        ends = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, *network.input_shape)
        try:
            Network("", network, found).encoder.encode(ends)
        except BadInput as error:
            raise CardError(
                f"card of {path}: pixels 0 and 1, {error}; another --mean and --std"
            ) from error
