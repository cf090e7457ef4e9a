"""A network by name or file, with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurorobust import models
from neurorobust.api.card_fields import changed, combined, known, lacks
from neurorobust.classifier import Network
from neurorobust.errors import CardError
from neurorobust.records import Card


def load(reference: str | Path, card: Card | Path | str | None = None, **said: Any) -> Network:
    """A network with its card.

    A card beside the file that is damaged or another file's counts for nothing where `said` is all
    that a card must say.

    Args:
        reference: a name (`neurorobust models` lists them), or the path of a `.net` file.
        card: in place of the one that lies beside the file; a card or the path of one.
        said: goes before the card's own fields: `encoder`, `mean`, `std`, `gain`, `steps` (time
            steps of a sample), `readout`, `logit_scale`.

    Raises:
        BadInput: neither a name nor a file, or no field of a card.
        CardError: no card, one of another network, or a field that is missing or has no such value.
        ModelFileError: the file cannot be read.

    Example:
        >>> load("digits-mlp").card.readout
        'count'
        >>> load("digits-mlp", steps=8).card.steps
        8
    """
    reference, start = str(reference), read(card)
    given = known(said)
    if not given:
        return models.resolve(reference, start)
    path, _, name = models.locate(reference)
    model = models.locate_model(reference)
    if start is None:
        try:
            start = models.card_of(reference)
            if start is not None:
                models.check_owner(start, model, path)
        except CardError:
            if lacks(combined(None, given)):
                raise
            start = None
    made = changed(start, given)
    models.check_card(made, model, path)
    return Network(name, model, made)


def read(card: Card | Path | str | None) -> Card | None:
    """A card, where a path is given from that file.

    Raises:
        CardError: see `models.read_card`.
    """
    return models.read_card(Path(card)) if isinstance(card, (str, Path)) else card
