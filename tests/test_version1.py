"""Records that were written before budgets were kept with their numbers can still be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from neurorobust.budgets import ImageBudget, SpikeBudget
from neurorobust.errors import BadInput
from neurorobust.evaluation import read_record, write_record
from neurorobust.evaluation.version1 import upgraded
from neurorobust.report.groups import groups

KEPT = Path(__file__).with_name("record_version1.json")  # as an evaluation wrote it


def test_a_record_of_version_1_is_read_with_all_that_it_says(tmp_path: Path) -> None:
    shutil.copy(KEPT, tmp_path / "record.json")
    record = read_record(tmp_path)
    old = json.loads(KEPT.read_text())
    assert (old["version"], record.version, record.request) == (1, 2, {})
    budgets = {kind: {t: one.budget for t, one in at.items()} for kind, at in record.robust.items()}
    assert budgets == {
        "eps": {"8/255": ImageBudget(8 / 255), "l2:0.5": ImageBudget(0.5, "l2")},
        "flips": {
            "insert=3+delete=2": SpikeBudget(5, 3, 2),
            "6+rows=0:1": SpikeBudget(6, rows=(0, 1)),
        },
    }
    new = json.loads(record.model_dump_json())
    for kind, name in (("eps", "robust"), ("flips", "robust_flips")):
        for text, rate in old[name].items():
            found = new["robust"][kind][text]
            assert {key: found[key] for key in rate} == rate
    same = new.keys() - {"version", "robust", "request"}
    assert {name: new[name] for name in same} == {name: old[name] for name in same}
    tables = [[text for text, _ in group.rows] for group in groups(record)]
    assert tables == [["8/255"], ["l2:0.5"], ["insert=3+delete=2", "6+rows=0:1"]]
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record


@pytest.mark.parametrize(
    ("field", "rates", "message"),
    [
        ("robust", {"much": {}}, "robust: eps 'much': not a number"),
        ("robust", {"-0.1": {}}, "robust: eps '-0.1': outside"),
        ("robust_flips", {"": {}}, "robust_flips: flips ''"),
        ("robust_shifts", {"1": {}}, "robust_shifts: shifts '1'"),
        ("robust_patches", [], "robust_patches: need an object with an object for each budget"),
        ("robust_patches", {"5x5": 3}, "robust_patches: need an object with an object for each"),
        ("robust", {"0.1": {}}, "robust.eps.0.1.correct is missing"),
    ],
)
def test_budgets_of_version_1_that_cannot_be_read_are_refused_by_name(
    tmp_path: Path, field: str, rates: Any, message: str
) -> None:
    values = json.loads(KEPT.read_text()) | {field: rates}
    path = tmp_path / "record.json"
    path.write_text(json.dumps(values))
    with pytest.raises(BadInput) as caught:
        read_record(tmp_path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [0, 3, True, 1.0, "1", None])
def test_other_versions_are_refused(tmp_path: Path, version: Any) -> None:
    values = json.loads(KEPT.read_text()) | {"version": version}
    (tmp_path / "record.json").write_text(json.dumps(values))
    with pytest.raises(BadInput, match=r"record\.json: version is .*, need 2"):
        read_record(tmp_path)


@pytest.mark.parametrize("values", [[], 3, "record", None, {}])
def test_what_is_no_record_is_left_to_the_schema(values: Any) -> None:
    assert upgraded(values, "file") is values
