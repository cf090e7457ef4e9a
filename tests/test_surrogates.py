"""Surrogate shapes: what the table in `surrogates` says of each, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from neurorobust.errors import BadInput
from neurorobust.surrogates import DEFAULT, SHAPES, BackwardMode, Surrogate

X = torch.linspace(-40, 40, 160_001, dtype=torch.float64)
# value at x = 0.5, by the published formula; area under the curve, None: it has none
TABLE = {
    "fast-sigmoid": (1 / 1.5**2, 2.0),
    "triangle": (0.5, 1.0),
    "atan": (1 / (1 + (math.pi / 4) ** 2), 2.0),
    "straight-through": (1.0, None),
    "sigmoid": (4 * (1 / (1 + math.exp(-2))) * (1 - 1 / (1 + math.exp(-2))), 1.0),
    "gaussian": (math.exp(-math.pi / 4), 1.0),
    "rectangle": (0.0, 1.0),
}


def test_the_table_names_every_shape():
    assert set(TABLE) == set(SHAPES)


@pytest.mark.parametrize("name", TABLE)
def test_a_shape_is_even_peaks_at_one_and_has_its_area(name: str):
    value, area = TABLE[name]
    found = Surrogate(name).derivative(X)
    assert torch.allclose(found, found.flip(0))
    assert float(Surrogate(name).derivative(torch.zeros(1))) == 1
    assert float(found.max()) <= 1
    assert float(found.min()) >= 0
    half = Surrogate(name).derivative(torch.tensor([0.5], dtype=torch.float64))
    assert float(half) == pytest.approx(value, abs=1e-12)
    if area is not None:
        whole = float(torch.trapezoid(found, X))
        tails = 2 / 41 if name == "fast-sigmoid" else 0.0
        tails = 8 / (math.pi**2 * 40) if name == "atan" else tails
        assert whole + tails == pytest.approx(area, abs=2e-3)


@pytest.mark.parametrize(("shape", "width"), [("box", 0.25), ("triangle", 0.0), ("triangle", -1)])
def test_unknown_shapes_and_widths_without_sense_are_refused(shape: str, width: float):
    with pytest.raises(BadInput, match=r"surrogate: (shape 'box' unknown, known: fast|width)"):
        Surrogate(shape, width)


def test_a_width_that_is_no_number_is_refused():
    with pytest.raises(BadInput, match="width nan not above 0"):
        Surrogate("triangle", math.nan)


def test_a_surrogate_is_a_mode_and_a_mode_stays_itself():
    mode = BackwardMode.of(DEFAULT)
    assert mode.surrogate == DEFAULT
    assert BackwardMode.of(mode) is mode
