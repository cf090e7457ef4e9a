"""`neurorobust card`, and the options of a card wherever a model is taken."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import Result

from neurorobust import models, netx
from neurorobust.api.card_fields import ENCODER_FIELDS, PLACES, changed
from neurorobust.cli import app
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.errors import CardError
from neurorobust.netx.model import NetxModel
from neurorobust.records import Card, EncoderCard

WHOLE = ("--encoder", "drive", "--mean", ".5", "--std", ".5", "--steps", "8", "--readout", "count")
LIBRARIES = ("Input should", "Value error", "instance of", "Extra inputs", "pydantic", "http")


@pytest.fixture
def bare(workshop: Path) -> Path:
    """The folder of a `.net` file that nobody described."""
    (workshop / "card.json").unlink()
    return workshop


def refused(result: Result, *words: str) -> str:
    (line,) = result.output.strip().splitlines()
    assert result.exit_code == 2
    for word in words:
        assert word in line
    assert not any(text in line for text in LIBRARIES)
    return line


def test_a_card_is_written_beside_the_file_and_is_this_files(
    bare: Path, command: Callable[..., Result]
) -> None:
    data = f"npz:{bare / 'data.npz'}"
    result = command("card", bare / "model.net", *WHOLE, "--dataset", data)
    assert result.exit_code == 0, result.output
    card = models.read_card(bare / "card.json")
    assert card == Card(
        dataset=data,
        encoder=EncoderCard(kind="drive", mean=0.5, std=0.5),
        steps=8,
        readout="count",
        sha256=netx.read(bare / "model.net").sha256,
    )
    assert command("evaluate", bare / "model.net").exit_code == 0


def test_a_card_that_is_there_is_kept_unless_replacing_it_is_asked_for(
    workshop: Path, command: Callable[..., Result]
) -> None:
    before = (workshop / "card.json").read_bytes()
    refused(command("card", workshop / "model.net", *WHOLE), "exists already", "--overwrite")
    assert (workshop / "card.json").read_bytes() == before
    result = command("card", workshop / "model.net", "--steps", "11", "--overwrite")
    assert result.exit_code == 0, result.output
    old, new = Card.model_validate_json(before), models.read_card(workshop / "card.json")
    assert new == old.model_copy(update={"steps": 11})


def test_without_options_the_card_is_shown(
    workshop: Path, command: Callable[..., Result], answer: Callable[..., Any]
) -> None:
    before = (workshop / "card.json").read_bytes()
    words = command("card", workshop / "model.net").output
    assert "drive: each pixel drives an on-chip input neuron" in words
    assert "count: the class with the most output spikes" in words
    found = answer("card", workshop / "model.net")
    assert found["card"] == json.loads(before)
    assert (found["path"], found["written"]) == (str(workshop / "card.json"), False)
    assert (workshop / "card.json").read_bytes() == before


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("--encoder", "drive", "--steps", "8", "--readout", "count"),
         ("drive needs a mean and a std, give --mean 0.5 --std 0.5",)),
        (("--encoder", "drive", "--std", "1", "--steps", "8", "--readout", "count"),
         ("drive needs a mean, give --mean 0.5",)),
        (("--encoder", "drive", "--mean", "0", "--std", "1"),
         ("no time steps, give --steps 16; no readout, give --readout count",)),
        (("--steps", "8"), ("no encoder, give --encoder drive, poisson", "--readout")),
        ((*WHOLE, "--steps", "0"), ("card: --steps is 0, need at least 1",)),
        ((*WHOLE, "--encoder", "magic"), ("--encoder 'magic': unknown, known: drive, poisson",)),
        ((*WHOLE, "--readout", "loud"), ("--readout 'loud': unknown, known: count, membrane",)),
        ((*WHOLE, "--std", "0"), ("card: --std is 0.0, need more than 0",)),
        ((*WHOLE, "--mean", "nan"), ("card: --mean is NaN, need a finite number",)),
        ((*WHOLE, "--logit-scale", "-1"), ("card: --logit-scale is -1.0, need more than 0",)),
        ((*WHOLE, "--logit-scale", "inf"),
         ("card: --logit-scale is Infinity, need a finite number",)),
        ((*WHOLE, "--gain", ".5"), ("--gain: only poisson takes it, the encoder is drive",)),
        (("--encoder", "poisson", "--gain", "2", "--steps", "8", "--readout", "count"),
         ("card: --gain is 2.0, need at most 1",)),
        ((*WHOLE, "--std", "1e-9"), ("pixels 0 and 1", "int16", "another --mean and --std")),
        ((*WHOLE, "--dataset", "mnis"), ("dataset 'mnis': unknown, did you mean mnist?",)),
        (("--card", "nowhere.json"), ("card nowhere.json: cannot be read",)),
        ((), ("no card: nothing says how", "`neurorobust card", "--mean and --std")),
    ],
)  # fmt: skip
def test_what_a_card_lacks_is_named_by_its_option_and_nothing_is_written(
    bare: Path, command: Callable[..., Result], typed: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(command("card", bare / "model.net", *typed), *words)
    assert not (bare / "card.json").exists()


@pytest.mark.parametrize(
    "verb",
    [
        ("evaluate", "{model}"),
        ("check", "{model}"),
        ("parity", "{model}", "{model}"),
        ("compare", "run", "{model}", "--eps", "0.1"),
        ("quantise", "{model}", "--out", "{out}"),
        ("faults", "bits", "{model}"),
        ("faults", "leak", "{model}"),
        ("faults", "inputs", "{model}", "--objective", "energy", "--eps", "0.1"),
        ("card", "{model}"),
    ],
    ids=" ".join,
)
def test_every_command_that_needs_a_card_takes_its_options_and_names_those_missing(
    bare: Path, command: Callable[..., Result], verb: tuple[str, ...]
) -> None:
    names = {"model": bare / "model.net", "out": bare / "out"}
    arguments = [part.format(**names) for part in verb]
    lacking = command(*arguments, "--encoder", "drive", "--mean", "0", "--steps", "8")
    refused(lacking, "drive needs a std, give --std 0.5", "give --readout count")
    assert not (bare / "out").exists()


@pytest.mark.parametrize("verb", ["evaluate", "check", "parity"])
def test_a_network_without_a_card_runs_with_the_options_alone(
    bare: Path, command: Callable[..., Result], verb: str
) -> None:
    model = bare / "model.net"
    first = (model,) if verb == "parity" else ()
    data = ("--dataset", f"npz:{bare / 'data.npz'}")
    result = command(verb, *first, model, *WHOLE, *data)
    assert result.exit_code == 0, result.output
    assert not (bare / "card.json").exists()


def test_random_inputs_take_no_card(workshop: Path, command: Callable[..., Result]) -> None:
    model = workshop / "model.net"
    refused(command("parity", model, model, "--random", "--steps", "4"), "--random", "no card")


def test_another_files_card_names_the_remedy_and_the_remedy_works(
    workshop: Path, command: Callable[..., Result], small_model: NetxModel
) -> None:
    other = workshop / "other"
    other.mkdir()
    changed_layer = small_model.layers[-1]
    model = netx.write(
        NetxModel(small_model.input_shape, (*small_model.layers[:-1],
                                            _negated(changed_layer))), other / "model.net"
    )  # fmt: skip
    card = json.loads((workshop / "card.json").read_text())
    card |= {"name": "the first", "accuracy": {"deployed": 1}}
    (other / "card.json").write_text(json.dumps(card))
    line = refused(command("evaluate", other / "model.net"), "made for sha256", model.sha256[:12])
    remedy = f"neurorobust card {other / 'model.net'} --overwrite"
    assert remedy in line
    refused(command("evaluate", other / "model.net", "--steps", "9"), "made for sha256", remedy)
    assert (
        command("evaluate", other / "model.net", *WHOLE, "--dataset", card["dataset"]).exit_code
        == 0
    )
    assert command(*remedy.split()[1:]).exit_code == 0
    assert command("evaluate", other / "model.net").exit_code == 0
    found = models.read_card(other / "card.json")
    assert (found.sha256, found.steps, found.dataset) == (model.sha256, 8, card["dataset"])
    assert (found.name, found.accuracy) == ("", {})  # they were the other network's
    (other / "card.json").unlink()
    start = ("--card", workshop / "card.json")
    assert command("card", other / "model.net", *start).exit_code == 0
    assert models.read_card(other / "card.json") == found


def _negated(layer: Any) -> Any:
    return netx.DenseLayer(layer.number, layer.shape, layer.neuron, -layer.weight)


def test_a_network_with_a_name_keeps_its_card(command: Callable[..., Result]) -> None:
    before = (models.shipped_folder() / "digits-mlp" / "card.json").read_bytes()
    refused(command("card", "digits-mlp", "--steps", "3", "--overwrite"), "its card comes with it")
    assert (models.shipped_folder() / "digits-mlp" / "card.json").read_bytes() == before
    assert "drive" in command("card", "digits-mlp").output


def test_another_encoder_begins_without_the_old_ones_numbers() -> None:
    poisson = changed(None, {"encoder": "poisson", "steps": 4, "readout": "count"})
    with pytest.raises(CardError, match="drive needs a mean and a std"):
        changed(poisson, {"encoder": "drive"})  # not 0 and 1 by default
    same = changed(poisson, {"gain": 0.5})
    assert changed(same, {"encoder": "poisson"}).encoder.gain == 0.5


def test_every_field_that_says_how_a_network_is_fed_and_read_has_an_option() -> None:
    names = {field.name for field in fields(CardOptions)} - {"card"}
    assert {ENCODER_FIELDS[name] for name in names & ENCODER_FIELDS.keys()} == set(
        EncoderCard.model_fields
    )
    rest = set(Card.model_fields) - {
        *("version", "name", "dataset", "encoder", "sha256", "training", "accuracy", "notes")
    }
    assert names - ENCODER_FIELDS.keys() == rest
    assert PLACES.keys() == names | {"dataset"}


def test_the_set_of_options_stands_in_the_help_of_a_command(command: Callable[..., Result]) -> None:
    @takes_card
    def verb(first: int, described: CardOptions = NO_OPTIONS, last: bool = False) -> None:
        """A command."""

    names = list(inspect.signature(verb).parameters)
    assert names == ["first", *(field.name for field in fields(CardOptions)), "last"]
    shown = typer.main.get_command(app)
    for name in ("evaluate", "check", "parity", "compare", "export", "quantise", "card"):
        parameters = shown.commands[name].params  # type: ignore[attr-defined]
        helped = {parameter.name for parameter in parameters if getattr(parameter, "help", None)}
        assert helped >= {field.name for field in fields(CardOptions)} | {"dataset"}
