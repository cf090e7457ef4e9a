"""What a card says, as options of the command line: one set, for every command that takes a model.

A command asks for the set with one parameter, which `takes_card` turns into the options:

    @takes_card
    def check(model: ..., described: CardOptions, ...) -> None:
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, get_type_hints

from neurorobust.cli import options
from neurorobust.cli.option_sets import Command, Option, expanded
from neurorobust.encoders import ENCODERS
from neurorobust.errors import CardError
from neurorobust.readouts import READOUTS
from neurorobust.support.names import either

if TYPE_CHECKING:
    from neurorobust.classifier import Network
    from neurorobust.records import Card

ENCODER_FIELDS = {"encoder": "kind", "mean": "mean", "std": "std", "gain": "gain"}
PLACES = {  # of an option in a card
    **{option: f"encoder.{field}" for option, field in ENCODER_FIELDS.items()},
    **{field: field for field in ("steps", "readout", "logit_scale", "dataset")},
}
HOW = ("dataset", "encoder", "steps", "readout", "logit_scale")  # true of a copied network too


@dataclass(frozen=True)
class CardOptions:
    """The options, as typed. A field's name is the option's; its type says how it is read."""

    card: options.CardFile = None
    encoder: options.Encoder = None
    steps: options.Steps = None
    mean: options.Mean = None
    std: options.Std = None
    gain: options.Gain = None
    readout: options.Readout = None
    logit_scale: options.LogitScale = None

    def given(self) -> dict[str, Any]:
        """The fields of a card that were typed, by option; `--card` is none of them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value for name, value in values.items() if name != "card" and value is not None
        }

    def start(self) -> Card | None:
        """The card of `--card`, where that is given.

        Raises:
            CardError: see `models.read_card`.
        """
        from neurorobust.models import read_card

        return None if self.card is None else read_card(self.card)

    def alone(self, reference: str) -> Card | None:
        """The card that the options make, whether or not it fits the network.

        None where none is typed, or only --steps and there is no card to change.

        Raises:
            CardError: see `network`.
        """
        from neurorobust.models import card_of

        given, start = self.given(), self.start()
        if not given:
            return start
        whole = not lacks(combined(None, given))
        if start is None:
            try:
                start = card_of(reference)
            except CardError:
                if not whole and given.keys() != {"steps"}:
                    raise
        if start is None and given.keys() == {"steps"}:
            return None
        card = changed(start, given)
        return card.model_copy(update={"sha256": None}) if whole else card

    def network(self, reference: str) -> Network:
        """The network a command names; what is typed goes before the fields of its card.

        A card beside the file that is damaged or another file's counts for nothing where the
        options say all that a card must.

        Raises:
            BadInput, CardError, ModelFileError: see `models.resolve`; an option that is missing or
                has no such value is named.
        """
        from neurorobust import models
        from neurorobust.classifier import Network

        given = self.given()
        if not given:
            return models.resolve(reference, self.start())
        path, _, name = models.locate(reference)
        model = models.locate_model(reference)
        start = self.start()
        if start is None:
            try:
                start = models.card_of(reference)
                if start is not None:
                    models.check_owner(start, model, path)
            except CardError:
                if lacks(combined(None, given)):
                    raise
                start = None
        card = changed(start, given)
        models.check_card(card, model, path)
        return Network(name, model, card)


NO_OPTIONS = CardOptions()


def takes_card(command: Command) -> Command:
    """A command whose parameter of type `CardOptions` is typed as options of their own."""
    inside = get_type_hints(CardOptions, include_extras=True)
    known = [Option(field.name, inside[field.name], field.default) for field in fields(CardOptions)]
    return expanded(command, CardOptions, known, lambda typed: CardOptions(**typed))


def changed(card: Card | None, given: dict[str, Any]) -> Card:
    """A card with what was typed in place of its own fields.

    Args:
        card: what to start from; None: options alone.
        given: values by option: `encoder`, `mean`, `steps`, ...; None: not typed.

    Raises:
        CardError: an option that is missing, has no such value, or is another encoder's.
    """
    from neurorobust.records import Card
    from neurorobust.support import schema

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
