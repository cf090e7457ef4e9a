"""The grammar of budgets as typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurorobust.budgets import (
    KINDS,
    ImageBudget,
    PatchBudget,
    ShiftBudget,
    SpikeBudget,
    parse,
)
from neurorobust.errors import BadInput

GOOD = {
    ("eps", "0.1"): ImageBudget(0.1),
    ("eps", " 8/255 "): ImageBudget(8 / 255),
    ("eps", "linf:1"): ImageBudget(1.0),
    ("eps", "l2:1.5"): ImageBudget(1.5, "l2"),
    ("eps", "l0:5"): ImageBudget(5.0, "l0"),
    ("flips", "0"): SpikeBudget(0),
    ("flips", "insert=5"): SpikeBudget(5, 5, 0),
    ("flips", "delete=5"): SpikeBudget(5, 0, 5),
    ("flips", "insert=5+delete=3"): SpikeBudget(8, 5, 3),
    ("flips", "6+insert=5+delete=3"): SpikeBudget(6, 5, 3),
    ("flips", "10+channel=1"): SpikeBudget(10, channel=1),
    ("flips", "10+rows=2:8+columns=0:4"): SpikeBudget(10, rows=(2, 8), columns=(0, 4)),
    ("shifts", "reach=2"): ShiftBudget(2),
    ("shifts", "reach=3+spikes=4"): ShiftBudget(3, spikes=4),
    ("shifts", "reach=3+total=10"): ShiftBudget(3, total=10),
    ("patches", "5x7"): PatchBudget(5, 7),
}


@pytest.mark.parametrize(("kind", "text"), GOOD)
def test_a_budget_as_typed(kind: str, text: str) -> None:
    assert parse(kind, text) == GOOD[kind, text]


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("eps", "l3:1", "eps 'l3:1': norm 'l3' unknown, known: linf, l2, l1, l0"),
        ("eps", "l2:-1", "eps 'l2:-1': not a size"),
        ("eps", "l2:inf", "eps 'l2:inf': not a size"),
        ("eps", "nan", "eps 'nan': outside"),
        ("eps", "2", "eps '2': outside"),
        ("eps", "1/0", "eps '1/0': not a number"),
        ("flips", "", "flips '': not a whole number"),
        ("flips", "1.5", "flips '1.5': not a whole number"),
        ("flips", "-1", "flips '-1': below 0"),
        ("flips", "channel=1", "flips 'channel=1': says no number"),
        ("flips", "3+3", "'3' is no name=value"),
        ("flips", "3+up=2", "'up' unknown"),
        ("flips", "3+channel=1+channel=2", "a name given twice"),
        ("flips", "3+rows=2", "'2' is no range"),
        ("flips", "3+rows=4:4", "budget: rows 4:4 is empty"),
        ("shifts", "2", "shifts '2': '2' is no name=value"),
        ("shifts", "spikes=2", "need for example reach=2"),
        ("shifts", "reach=2+up=1", "need for example reach=2"),
        ("shifts", "reach=-1", "below 0"),
        ("patches", "5", "patches '5': need height x width"),
        ("patches", "5xa", "not a whole number"),
    ],
)
def test_what_is_refused(kind: str, text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(kind, text)
    assert message in str(caught.value)


def assert_one_line(text: str) -> None:
    assert text
    assert "\n" not in text


@given(st.sampled_from(sorted(KINDS)), st.text(alphabet="0123456789+=:x/.eln-rowsit", max_size=14))
def test_any_text_is_a_budget_or_bad_input(kind: str, text: str) -> None:
    try:
        assert parse(kind, text).size >= 0
    except BadInput as error:
        said = str(error)
        assert_one_line(said)


def test_budgets_of_a_kind_have_an_order() -> None:
    ordered = {
        "eps": ["0", "1/255", "0.1"],
        "flips": ["1", "insert=2", "2+insert=2+delete=1", "9"][::3],
        "shifts": ["reach=2+spikes=1", "reach=1+spikes=4", "reach=9"],
        "patches": ["1x1", "2x2", "2x3"],
    }
    assert set(ordered) == set(KINDS)
    for kind, texts in ordered.items():
        sizes = [parse(kind, text).size for text in texts]
        assert sizes == sorted(set(sizes))
