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

if TYPE_CHECKING:
    from neurorobust.classifier import Network


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

    def network(self, reference: str) -> Network:
        """The network a command names; what is typed goes before the fields of its card.

        Raises:
            BadInput, CardError, ModelFileError: see `api.load`.
        """
        from neurorobust import api

        return api.load(reference, self.card, **self.given())


NO_OPTIONS = CardOptions()


def takes_card(command: Command) -> Command:
    """A command whose parameter of type `CardOptions` is typed as options of their own."""
    inside = get_type_hints(CardOptions, include_extras=True)
    known = [Option(field.name, inside[field.name], field.default) for field in fields(CardOptions)]
    return expanded(command, CardOptions, known, lambda typed: CardOptions(**typed))
