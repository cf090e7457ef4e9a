"""The schema of cards and records: what is written to disk beside models and results. Versioned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from neurorobust.encoders import ENCODERS, Code
from neurorobust.rates import (
    AttackRate,
    Minimum,
    Probe,
    Rate,
    Recipe,
    RobustRate,
    Strict,
    Targeted,
    Text,
    rate,
)
from neurorobust.readouts import READOUTS
from neurorobust.support import schema
from neurorobust.support.names import either


class EncoderCard(Strict):
    """How x becomes network input.

    kind: `drive` (integer bias into the on-chip input layer), `poisson` (spike probability = gain *
    pixel a step), `latency` (one spike a pixel, the earlier the brighter), `direct` (data already
    are binary spikes).
    mean, std: normalisation of pixels in [0, 1] before the drive, (x - mean) / std; a drive must
    name both, a wrong guess costs accuracy in silence.
    """

    kind: Annotated[str, schema.known(ENCODERS)] = Field(description=either(ENCODERS))
    mean: float = Field(default=0.0, allow_inf_nan=False)
    std: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    gain: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _says_all(self) -> EncoderCard:
        needs = self.code.needs
        missing = [name for name in needs if name not in self.model_fields_set]
        if missing:
            plain = " and ".join(f"{name} {value:g}" for name, value in needs.items())
            raise ValueError(
                f"a {self.kind} needs {' and '.join(missing)}: a wrong guess costs accuracy in "
                f"silence; pixels from 0 to 1 as they are: {plain}"
            )
        return self

    @property
    def code(self) -> type[Code]:
        """The encoder that it describes."""
        return ENCODERS[self.kind]


class Card(Strict):
    """What a `.net` file does not say. Lies beside it as `card.json`."""

    version: Literal[1] = 1
    name: str = ""
    dataset: str | None = None
    encoder: EncoderCard = Field(description="an object with kind, of a drive also mean and std")
    steps: int = Field(ge=1, le=100_000, description="time steps, 1 to 100000")
    readout: Annotated[str, schema.known(READOUTS)] = Field(description=either(READOUTS))
    logit_scale: float | None = Field(
        default=None, gt=0, allow_inf_nan=False
    )  # None: readouts.Decoding.scale
    sha256: str | None = None  # of the .net file it belongs to; None: any
    training: dict[str, Any] = Field(default_factory=dict)  # command, seed, defence …
    accuracy: dict[str, Any] = Field(
        default_factory=dict
    )  # float, deployed: correct, total, interval
    notes: str = ""


class Confirmation(Strict):
    """Adversarial samples replayed on another target, compared spike for spike.

    Fewer than requested are replayed where there are not so many.
    """

    backend: str
    requested: int
    replayed: int
    identical: int
    adversarial: int  # how many of the replayed were successful adversarials
    first_difference: str | None = None
    seconds: float | None = None  # that the other target took, its start included
    measured: dict[str, Any] = Field(default_factory=dict)  # what that target tells of its runs

    @property
    def holds(self) -> bool:
        """Whether something was replayed and all of it came out equal."""
        return self.identical == self.replayed > 0 and self.first_difference is None


class Cell(Strict):
    """One cell of the 2x2: crafted on `crafted`, scored on `scored`."""

    crafted: Literal["float", "deployed"]
    scored: Literal["float", "deployed"]
    success: Rate  # `correct` = broken among the samples that both networks get right when clean


class Comparison(Strict):
    """Float against deployed at one budget."""

    kind: str = "eps"
    epsilon: str  # the budget as typed
    attack: str
    clean_float: Rate
    clean_deployed: Rate
    flips: int  # clean labels that quantisation alone changed
    cells: tuple[Cell, ...]
    mcnemar_p: float  # exact, on robust outcomes
    discordant: tuple[int, int]  # (robust on float only, robust on deployed only)


class ParityResult(Strict):
    """The same inputs through two backends."""

    first: str
    second: str
    samples: int
    layers: tuple[int, ...]
    variables: tuple[str, ...]
    identical: bool
    first_difference: str | None = None
    clock: Literal["aligned", "global"] = "aligned"


class Alignment(Strict):
    """One deployed network on two clocks: as it was trained (`delay_shift`), and aligned."""

    as_trained: Rate
    aligned: Rate
    label_changes: int


class Provenance(Strict):
    """Where and with what a result was computed."""

    neurorobust: str
    versions: dict[str, str]
    machine: dict[str, str]
    command: Text
    started: str  # ISO 8601, UTC
    seconds: float
    target: dict[str, Any] = Field(default_factory=dict)  # what the target tells of its runs


class Record(Strict):
    """One evaluation, as data. Arrays per sample lie beside it in `samples.npz` (`evaluation`)."""

    version: Literal[2] = 2
    request: dict[str, Any] = Field(default_factory=dict)  # all that was asked; {}: not known
    model: Text
    model_sha256: str
    card: Card
    backend: str
    target: Text  # what `backend` is, in words: "Lava's integers, computed by neurorobust's engine"
    dataset: Text
    seed: int
    attacks: dict[str, dict[str, Any]]  # name -> its threat model and parameters
    clean: Rate
    classes: int | None = None  # that the network tells apart
    draws: int | None = (
        None  # random encoders: so many selected a proposal, as many others scored it
    )
    redraw: Rate | None = None  # random encoders: of those right in one draw, wrong in another
    robust: dict[str, dict[str, RobustRate]] = Field(
        default_factory=dict
    )  # by kind of budget, those tried, and budget as typed
    seeds: tuple[int, ...] = ()  # all of them, where there were several
    recipe: Recipe | None = None
    minimum: dict[str, Minimum] = Field(default_factory=dict)  # by kind of budget
    targeted: tuple[Targeted, ...] = ()
    probes: tuple[Probe, ...] = ()
    confirmed: Confirmation | None = None
    comparison: tuple[Comparison, ...] = ()
    parity: tuple[ParityResult, ...] = ()
    flags: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()  # still to come: confirmation, comparison, flags
    provenance: Provenance

    @model_validator(mode="after")
    def _in_place(self) -> Record:
        for kind, rates in self.robust.items():
            for text, found in rates.items():
                if (found.kind, found.text) != (kind, text):
                    raise ValueError(f"robust {kind} {text}: holds {found.kind} {found.text}")
        return self

    def is_control(self, attack: str) -> bool:
        """Whether an attack is blind noise, there to be beaten."""
        return self.attacks.get(attack, {}).get("control") is True

    def is_black_box(self, attack: str) -> bool:
        """Whether an attack breaks networks without their gradients, by asking or by transfer."""
        settings = self.attacks.get(attack, {})
        return settings.get("access") in ("transfer", "score", "decision")

    def is_white_box(self, attack: str) -> bool:
        """Whether an attack knows the network and follows its gradients."""
        return self.attacks.get(attack, {}).get("access") == "white-box"


__all__ = [
    "Alignment",
    "AttackRate",
    "Card",
    "Cell",
    "Comparison",
    "Confirmation",
    "EncoderCard",
    "Minimum",
    "ParityResult",
    "Probe",
    "Provenance",
    "Rate",
    "Recipe",
    "Record",
    "RobustRate",
    "Targeted",
    "rate",
]
