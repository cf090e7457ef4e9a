"""The first thing a newcomer runs, as it is, and what it must show."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from neurorobust.assess import demo as demo_module
from neurorobust.assess.demo import demo
from neurorobust.errors import CheckFailed, OutputError
from neurorobust.models import resolve, write_card
from neurorobust.records import ParityResult, Record
from neurorobust.report import REPORT_FILE, print_record

pytestmark = pytest.mark.lava
pytest.importorskip("lava")


def _quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record, list[str]]:
    out = tmp_path_factory.mktemp("demo") / "runs"
    lines: list[str] = []
    record = demo(out, 0, False, False, lines.append, _quiet)
    return out, record, lines


def test_it_trains_well_and_every_form_of_the_network_agrees(
    shown: tuple[Path, Record, list[str]],
) -> None:
    _, record, lines = shown
    assert record.clean.total == 355
    assert record.clean.correct >= 0.95 * 355
    for comparison in record.comparison:
        assert comparison.clean_float.correct >= 0.95 * 355
    found = {(p.first, p.second): (p.samples, p.layers, p.identical) for p in record.parity}
    assert found == {
        ("slayer", "reference"): (355, (0, 2, 3), True),
        ("slayer", "engine"): (355, (0, 2, 3), True),
        ("slayer", "lava"): (16, (0, 2, 3), True),
    }
    assert len(lines) == 5


def test_attacks_bite_controls_do_not_and_lava_confirms(
    shown: tuple[Path, Record, list[str]],
) -> None:
    _, record, _ = shown
    worst = [rate.correct for rate in record.robust["eps"].values()]
    assert list(record.robust["eps"]) == list(demo_module.EPSILONS)
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] < 0.05 * 355
    for rate in record.robust["eps"].values():
        assert rate.by_attack["random"].correct > rate.by_attack["pgd-linf"].correct
    for rate in record.robust["flips"].values():
        assert rate.by_attack["spike-random"].correct > rate.by_attack["spike-topk"].correct
    assert record.confirmed is not None
    assert record.confirmed.identical == record.confirmed.replayed == 16
    assert record.flags == ()
    assert [comparison.epsilon for comparison in record.comparison] == list(demo_module.EPSILONS)


def test_what_it_leaves(shown: tuple[Path, Record, list[str]]) -> None:
    out, record, _ = shown
    names = {path.name for path in out.iterdir()}
    assert names >= {"run", "model.net", "card.json", "record.json", "samples.npz", REPORT_FILE}
    assert Record.model_validate(json.loads((out / "record.json").read_text())) == record
    console = Console(width=80, record=True, file=(out / "terminal.txt").open("w"))
    print_record(record, console, out / REPORT_FILE)
    console.file.close()
    text = console.export_text()
    for words in ("342 of 355", "16 of 16", "pgd-linf", "random (control)", "report.html"):
        assert words in text.replace(str(out), ""), text
    assert max(len(line) for line in text.splitlines() if str(out) not in line) <= 80


def test_a_result_is_not_replaced_unasked(shown: tuple[Path, Record, list[str]]) -> None:
    out, _, _ = shown
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(OutputError, match="exists already; --resume or --overwrite"):
        demo(out, 0, False, False, _quiet, _quiet)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


@pytest.mark.parametrize("mine", ["model.net", "card.json"])
def test_a_network_of_somebody_elses_is_never_replaced(tmp_path: Path, mine: str) -> None:
    (tmp_path / mine).write_text("mine")
    for flags in ((True, False), (False, True)):
        with pytest.raises(OutputError, match=f"{mine}: not written by the demo"):
            demo(tmp_path, 0, *flags, _quiet, _quiet)
    assert [path.name for path in tmp_path.iterdir()] == [mine]
    assert (tmp_path / mine).read_text() == "mine"


def test_its_own_network_is_replaced_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = resolve("digits-mlp")
    assert shipped.model.path is not None
    shutil.copy(shipped.model.path, tmp_path / "model.net")
    write_card(shipped.card.model_copy(update={"name": "digits-mlp"}), tmp_path / "card.json")

    def train(*_: object) -> Path:
        raise CheckFailed("it began")

    monkeypatch.setattr(demo_module, "train_digits", train)
    with pytest.raises(CheckFailed, match="it began"):
        demo(tmp_path, 0, False, True, _quiet, _quiet)


def test_a_difference_ends_it(
    shown: tuple[Path, Record, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _, _ = shown
    real: Callable[..., ParityResult] = demo_module.parity

    def lying(*arguments: object, **keywords: object) -> ParityResult:
        found = real(*arguments, **keywords)
        update = {"identical": False, "first_difference": "layer 2 (dense), sample 0"}
        return found.model_copy(update=update)

    monkeypatch.setattr(demo_module, "parity", lying)
    with pytest.raises(CheckFailed, match=r"parity: layer 2 \(dense\), sample 0"):
        demo(out, 0, True, False, _quiet, _quiet)
