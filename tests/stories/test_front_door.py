"""What `import neurorobust` offers."""

from __future__ import annotations

import errno
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import neurorobust as nr
from neurorobust.api import WHERE
from neurorobust.classifier import Network
from neurorobust.errors import BadInput, DatasetError, OutputError

ROOT = Path(__file__).resolve().parents[2]


def read(line: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", line], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_importing_it_loads_nothing_heavy():
    line = "import sys, neurorobust; print(sorted({'torch', 'lava', 'numpy'} & set(sys.modules)))"
    assert read(line) == "[]"


def test_every_name_at_the_door_is_there_and_no_other():
    assert len(nr.__all__) > 10
    for name in nr.__all__:
        assert getattr(nr, name) is not None
    assert set(nr.__all__) <= set(dir(nr))
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = nr.magic


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert "digits-mlp on" in said
    assert (tmp_path / "runs/from-python/report.html").stat().st_size > 10_000


@pytest.fixture(scope="module")
def digits():
    network = nr.load("digits-mlp")
    data = nr.datasets.load("digits", limit=60)
    with network.open() as classifier:
        yield classifier, data


def test_an_attack_is_projected_run_again_and_scored(digits):
    classifier, data = digits
    x, y = data[:20]
    found = nr.attack(classifier, x, y, "pgd-linf", eps=0.1, seed=3)
    again = nr.attack(classifier, x, y, "pgd-linf", eps="0.1", seed=3)
    assert torch.equal(found.x, again.x)
    assert float((found.x - x).abs().max()) <= 0.1 + 1e-6
    assert torch.equal(found.predicted, classifier.predict(found.x))
    assert torch.equal(found.success, (found.predicted != y) & (found.clean == y))
    assert bool(found.success.any())
    other = nr.attack(classifier, x, y, "sda", flips=5)
    assert other.x.dtype == torch.uint8
    assert other.x.dim() == 5


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "attack pgd-linf: 0 budgets given, need exactly one"),
        ({"eps": 0.1, "flips": 3}, "attack pgd-linf: 2 budgets given"),
        ({"flips": 3}, "attack pgd-linf: takes eps, given flips"),
        ({"eps": "a lot"}, "eps 'a lot': not a number"),
    ],
)
def test_what_an_attack_cannot_take_is_refused(digits, asked, message: str):
    classifier, data = digits
    with pytest.raises(BadInput, match=message):
        nr.attack(classifier, *data[:2], "pgd-linf", **asked)


def test_data_that_do_not_fit_are_refused_at_the_door(digits):
    classifier, data = digits
    x, y = data[:4]
    with pytest.raises(DatasetError, match="sample 0 holds 2, outside"):
        nr.attack(classifier, x + 2, y, "pgd-linf", eps=0.1)
    with pytest.raises(DatasetError, match="sample 0 has label 82, outside"):
        nr.evaluate(classifier, (x, y + 77))
    with pytest.raises(DatasetError, match="a str, need a Dataset"):
        nr.evaluate(classifier, "digits")


def test_the_same_samples_from_anywhere_give_the_same_numbers(digits):
    classifier, data = digits
    x, y = data[:30]
    pairs = TensorDataset(x, y)
    kinds = [
        nr.datasets.from_arrays(x.numpy(), y.numpy()),
        (x, y),
        pairs,
        DataLoader(pairs, batch_size=7),
    ]
    found = [nr.evaluate(classifier, kind, "pgd-linf", eps=(0.05, "0.1")) for kind in kinds]
    rates = [
        {typed: rate.correct for typed, rate in one.record.robust["eps"].items()} for one in found
    ]
    assert rates[0].keys() == {"0.05", "0.1"}
    assert rates == [rates[0]] * 4
    assert found[0].record.model == "digits-mlp"


def test_float_spikes_of_0_and_1_are_taken_and_others_refused():
    spikes = torch.zeros(4, 1, 2, 2, 3)
    spikes[0, 0, 0, 0, 1] = 1.0
    made = nr.datasets.from_arrays(spikes, np.zeros(4, np.int64), classes=2)
    assert made.domain == "spikes"
    assert made[:4][0].dtype == torch.uint8
    with pytest.raises(DatasetError, match="neither 0 nor 1"):
        nr.datasets.from_arrays(spikes * 0.5, np.zeros(4, np.int64))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([torch.zeros(1)], "a list, need a Dataset"),
        (DataLoader(TensorDataset(torch.zeros(4, 1, 2, 2))), "yields a list, need pairs"),
        (TensorDataset(torch.zeros(0, 1, 2, 2), torch.zeros(0)), "no samples"),
    ],
)
def test_what_holds_no_samples_and_labels_is_refused(bad, message: str):
    with pytest.raises(DatasetError, match=message):
        nr.datasets.of(bad)


def test_a_slice_with_a_step_is_refused(digits):
    with pytest.raises(DatasetError, match="step 2 of a slice, need 1"):
        _ = digits[1][:10:2]


def unreadable(folder: Path) -> None:
    raise PermissionError(errno.EACCES, "Permission denied", str(folder))


def test_a_result_prints_reports_and_is_read_again(digits, tmp_path, monkeypatch):
    classifier, data = digits
    result = nr.evaluate(classifier, data, ["pgd-linf", "sda"], eps="0.1", flips=4)
    text = str(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "digits-mlp" in text
    assert result._repr_html_().startswith("<pre>")
    page = result.report(tmp_path / "page")
    assert page.read_text().startswith("<!")
    again = nr.Result.read(tmp_path / "page")
    assert again.record == result.record
    assert again.report() == page
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(OutputError, match="holds files already"):
        result.report(tmp_path / "full")
    monkeypatch.setattr(Path, "iterdir", unreadable)
    with pytest.raises(OutputError, match="Permission denied"):
        result.report(tmp_path / "page")
    monkeypatch.undo()
    assert (tmp_path / "page" / "record.json").is_file()  # it could not be seen, so it stays
    folder = result.folder
    assert folder.is_dir()
    del result
    assert not folder.exists()


def test_a_table_of_a_result_has_a_row_for_every_attack(digits):
    pytest.importorskip("pandas", reason="needs pandas")
    classifier, data = digits
    result = nr.evaluate(classifier, data, "pgd-linf", eps=[0.05, 0.1])
    table = result.to_pandas()
    assert len(table) == 1 + 2 * 3  # clean; attack, control and worst case of two budgets
    worst = table[(table.attack == "worst case") & (table.budget == "0.1")]
    assert int(worst.correct.iloc[0]) == result.record.robust["eps"]["0.1"].correct


def test_replays_on_another_target_are_typed_as_on_the_command_line(digits):
    classifier, data = digits
    result = nr.evaluate(classifier, data, "pgd-linf", eps=0.1, confirm="reference:3")
    assert result.record.confirmed is not None
    assert result.record.confirmed.identical == 3
    with pytest.raises(BadInput, match="confirm moon:3: backend 'moon': unknown"):
        nr.evaluate(classifier, data, "pgd-linf", eps=0.1, confirm="moon:3")
    with pytest.raises(BadInput, match="confirm lava:many: needs a number"):
        nr.evaluate(classifier, data, "pgd-linf", eps=0.1, confirm="lava:many")


def test_two_backends_agree_from_the_front_door(digits):
    classifier, data = digits
    with classifier.network.open("reference") as other:
        found = nr.parity(classifier, other, data[:5][0])
    assert found.identical
    assert found.samples == 5
    assert set(found.variables) == {"spikes", "u", "v"}


def test_rules_are_checked_from_the_front_door():
    verdict = nr.check("digits-mlp")
    assert verdict.model is not None
    assert not any(found.rule.severity == "error" for found in verdict.findings)


def test_a_classifier_that_belongs_to_no_network_is_refused(spiking):
    x = torch.rand(4, 1, 4, 4)
    with pytest.raises(BadInput, match="belongs to no network with a card"):
        nr.evaluate(spiking(), (x, torch.arange(4)))


def test_budgets_of_another_kind_are_refused_not_dropped(digits):
    classifier, data = digits
    with pytest.raises(BadInput, match="attack pgd-linf: takes eps, given flips"):
        nr.compare(classifier, classifier, data, "pgd-linf", eps=0.1, flips=3)


def test_an_argument_that_is_no_kind_of_budget_is_refused(digits):
    classifier, data = digits
    known = "argument or kind of budget 'sedes': unknown, did you mean|known: eps, flips, shifts"
    with pytest.raises(BadInput, match=known):
        nr.evaluate(classifier, data, "pgd-linf", eps=0.1, sedes=3)
    with pytest.raises(BadInput, match="against: a comparison needs a budget"):
        nr.evaluate(classifier, data, against=classifier)


def test_a_float_network_is_compared_at_the_kind_of_budget_that_was_given(digits, spiking):
    pictures, data = digits
    events = spiking("direct")
    card = nr.Card(encoder={"kind": "direct"}, steps=12, readout="count")
    flashing = Network("toy", events.backend.model, card).classifier(events.backend)
    x = (torch.rand(8, 16, 1, 1, 12, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    for classifier, given, attack, budget in (
        (pictures, data[:8], "pgd-linf", {"eps": 0.05}),
        (flashing, (x, torch.arange(8) % 4), "spike-topk", {"flips": 2}),
    ):
        result = nr.evaluate(classifier, given, attack, against=classifier, **budget)
        (comparison,) = result.record.comparison
        assert (comparison.kind, comparison.attack) == (*budget, attack)
        assert result.record.request["compare_with"] == attack


def test_pictures_of_another_size_are_refused_before_the_attack(digits):
    classifier, data = digits
    _, y = data[:2]
    with pytest.raises(BadInput, match="shape"):
        nr.attack(classifier, torch.rand(2, 1, 9, 9), y, "pgd-linf", eps=0.1)


@pytest.mark.parametrize("name", [name for name in WHERE if name.islower()])
def test_every_verb_says_what_it_takes_and_refuses_and_shows_how(name: str):
    verb = getattr(nr, name)
    said = inspect.getdoc(verb) or ""
    takes = inspect.signature(verb).parameters
    listed = re.findall(r"^    (\w+)(?=[:,])", said.partition("Args:")[2], re.MULTILINE)
    assert set(takes) <= set(listed), set(takes) - set(listed)
    assert "Example:" in said
    assert "Raises:" in said or not takes


def test_the_door_of_the_package_is_that_of_its_functions():
    assert set(WHERE) <= set(nr.__all__)
    assert len(WHERE) > 30
    for name, module in WHERE.items():
        assert getattr(nr, name) is getattr(importlib.import_module(module), name)


def test_what_is_no_budget_and_no_folder_is_refused(digits):
    classifier, data = digits
    for wrong in (b"0.1", True, object()):
        with pytest.raises(BadInput, match="need a text or a number"):
            nr.evaluate(classifier, data, "pgd-linf", eps=wrong)
    with pytest.raises(BadInput, match="out: empty"):
        nr.evaluate(classifier, data, out="")
    assert nr.evaluate(classifier, data, eps=None).record.robust == {}
