"""What docs say of cards, data and rules is what the code does; their examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from neurorobust import datasets
from neurorobust.cli import app
from neurorobust.encoders import ENCODERS
from neurorobust.netx.rules import RULES
from neurorobust.records import Card, EncoderCard

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SPOKEN = [
    path
    for folder in ("cli", "report", "checks")
    for path in (ROOT / "neurorobust" / folder).iterdir()
    if path.suffix in (".py", ".j2")
]
PUBLIC = [ROOT / "README.md", *DOCS.glob("*.md"), *SPOKEN]


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """Cells of every row of every table, heads and rules included."""
    lines = [line for line in text(name).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text(name), re.DOTALL)


def commands(name: str) -> list[list[str]]:
    found = re.findall(r"^    neurorobust (.*?)(?: +#.*)?$", text(name), re.MULTILINE)
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize(
    ("schema", "heading"), [(Card, "| field |"), (EncoderCard, "| field of `encoder` |")]
)
def test_every_field_of_a_card_is_described_with_its_default(schema: Any, heading: str) -> None:
    table = text("card.md").partition(heading)[2].partition("\n\n")[0].splitlines()[2:]
    told = {line.split("|")[1].strip().strip("`"): line.split("|")[3].strip() for line in table}
    assert list(told) == list(schema.model_fields)
    for name, field in schema.model_fields.items():
        default = "needed" if field.is_required() else field.get_default(call_default_factory=True)
        shown = {None: "null", "": '""'}.get(default, default) if default != {} else "{}"
        said = told[name].split(" ")[0]
        assert said == (f"{shown:g}" if isinstance(shown, float) else str(shown)), name


def test_the_examples_of_cards_are_cards_one_for_each_encoder() -> None:
    cards = [Card.model_validate_json(block) for block in blocks("card.md", "json")]
    assert [card.encoder.kind for card in cards] == list(ENCODERS)
    for card in cards:
        assert card.dataset in datasets.NAMED


@pytest.mark.parametrize("name", ["card.md", "export.md"])
def test_commands_of_the_docs_have_the_options_that_they_use(name: str) -> None:
    import typer

    known: Any = typer.main.get_command(app)
    found = commands(name)
    assert found
    for verb, *arguments in found:
        options = {option for one in known.commands[verb].params for option in one.opts}
        assert {part for part in arguments if part.startswith("--")} <= options, verb


def test_the_examples_of_data_run_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks("data.md", "python"):
        if block.startswith("# my_data.py"):
            Path("my_data.py").write_text(block)
        else:
            exec(compile(block, "data.md", "exec"), {})
    assert (tmp_path / "my_data.py").exists()
    both = [datasets.load("npz:spikes.npz", split) for split in ("train", "test")]
    assert [(len(data), data.split) for data in both] == [(15, "train"), (5, "test")]
    for arguments in commands("data.md"):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert len(commands("data.md")) == 3


@pytest.mark.lava
def test_the_export_of_a_network_of_ones_own_runs_as_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
    import torch

    from neurorobust.networks.lava_dl import import_slayer

    cuba = import_slayer().block.cuba
    neuron = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.1}
    module = torch.nn.Sequential(cuba.Dense(neuron, 8, 4, delay_shift=False))
    (block,) = blocks("export.md", "python")
    path = tmp_path / "model.net"
    exec(compile(block, "export.md", "exec"), {"module": module, "shape": (8,), "path": path})
    assert path.exists()
    assert capsys.readouterr().out == "() True\n"


def test_every_rule_of_check_is_in_its_table() -> None:
    told = {row[0]: [cell.replace("\\|", "|") for cell in row[1:]] for row in rows("rules.md")[1:]}
    assert told == {
        rule.code: [rule.name, rule.severity, rule.why, rule.remedy] for rule in RULES.values()
    }


def test_what_an_attack_did_not_break_survived_in_every_public_text() -> None:
    assert len(PUBLIC) > 20
    for path in PUBLIC:
        said = path.read_text(encoding="utf-8")
        assert not re.search(r"withstood|withstand|still stood", said), path
