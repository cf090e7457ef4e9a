"""A card's fields by the names of the options that say them, and a card made of such fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neurorobust.encoders import ENCODERS
from neurorobust.errors import BadInput, CardError
from neurorobust.readouts import READOUTS
from neurorobust.records import Card
from neurorobust.support import schema
from neurorobust.support.names import either, unknown

ENCODER_FIELDS = {"encoder": "kind", "mean": "mean", "std": "std", "gain": "gain"}
PLACES = {  # of an option in a card
    **{option: f"encoder.{field}" for option, field in ENCODER_FIELDS.items()},
    **{field: field for field in ("steps", "readout", "logit_scale", "dataset")},
}
HOW = ("dataset", "encoder", "steps", "readout", "logit_scale")  # true of a copied network too


def known(said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that were given a value, by option.

    Raises:
        BadInput: a name that is no field of a card.
    """
    for name in said:
        if name not in PLACES:
            raise BadInput(unknown("card field", name, PLACES))
    return {name: value for name, value in said.items() if value is not None}


def changed(card: Card | None, given: dict[str, Any]) -> Card:
    """A card with what was typed in place of its own fields.

    Args:
        card: what to start from; None: options alone.
        given: values by option: `encoder`, `mean`, `steps`, ...; None: not typed.

    Raises:
        CardError: an option that is missing, has no such value, or is another encoder's.
    """
    given = {name: value for name, value in given.items() if value is not None}
    said = combined(card, given)
    lacking = lacks(said)
    if lacking:
        raise CardError(f"card: {lacking}")
    names = {place: typed(option) for option, place in PLACES.items()}
    found = schema.validated(said, Card, "card", CardError, names)
    code = found.encoder.code
    for name in given:
        takers = [each.name for each in ENCODERS.values() if name in each.takes]
        if takers and name not in code.takes:
            raise CardError(
                f"{typed(name)}: only {either(takers)} takes it, the encoder is {code.name}"
            )
    return found


def typed(option: str) -> str:
    """`logit_scale` as it is typed: `--logit-scale`."""
    return f"--{option.replace('_', '-')}"


def lacks(said: dict[str, Any]) -> str:
    """What a card still needs, with the options that say it; empty where it has all."""
    encoder, found = said["encoder"], []
    if "kind" not in encoder:
        found.append(f"no encoder, give --encoder {either(ENCODERS)}")
    code = ENCODERS.get(encoder.get("kind", ""))
    missing = [] if code is None else [name for name in code.needs if name not in encoder]
    if code is not None and missing:
        examples = " ".join(f"--{name} 0.5" for name in missing)
        plain = " ".join(f"--{name} {code.needs[name]:g}" for name in missing)
        found.append(
            f"{code.name} needs a {' and a '.join(missing)}, give {examples} as in training "
            f"(pixels from 0 to 1 as they are: {plain})"
        )
    if "steps" not in said:
        found.append("no time steps, give --steps 16")
    if "readout" not in said:
        each = " or ".join(f"--readout {name}" for name in READOUTS)
        found.append(f"no readout, give {each}")
    return "; ".join(found)


def combined(card: Card | None, given: dict[str, Any]) -> dict[str, Any]:
    """Fields of a card. Another encoder than the card's begins without the old one's numbers."""
    merged: dict[str, Any] = {} if card is None else card.model_dump()
    encoder = merged.get("encoder", {})
    if given.get("encoder", encoder.get("kind")) != encoder.get("kind"):
        encoder = {}
    inner = {field: given[name] for name, field in ENCODER_FIELDS.items() if name in given}
    outer = {name: value for name, value in given.items() if name not in ENCODER_FIELDS}
    return {**merged, **outer, "encoder": {**encoder, **inner}}
