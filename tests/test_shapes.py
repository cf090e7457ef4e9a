"""Shapes that signatures declare are held while tests run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from neurorobust.attacks import objectives
from neurorobust.evaluation import query
from neurorobust.types import Inputs, Run
from tests.shapes import hold

LOGITS = torch.zeros(3, 10)
LABELS = torch.zeros(3, dtype=torch.int64)


def test_arrays_as_declared_pass():
    assert objectives.margin(LOGITS, LABELS).shape == (3,)
    assert len(Inputs.drive(torch.zeros(2, 1, 1, 4, dtype=torch.int32), 3)) == 2


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (LOGITS[0], LABELS),  # an axis too few
        (LOGITS.int(), LABELS),  # another dtype
        (LOGITS, LABELS.int()),
        (LOGITS, LABELS[:2]),  # the axis `batch` is 3 and 2 at once
    ],
)
def test_arrays_of_another_shape_or_dtype_raise(logits, labels):
    with pytest.raises(TypeCheckError, match=r"objectives\.margin"):
        objectives.margin(logits, labels)


def test_fields_of_dataclasses_are_held():
    with pytest.raises(TypeCheckError, match="values"):
        Inputs(torch.zeros(2, 4, 1, 1, dtype=torch.bool), 3)
    with pytest.raises(TypeCheckError, match="membrane"):
        Run(torch.zeros(2, 4, 5), torch.zeros(3, 4), {})


def test_what_comes_back_is_held():
    with pytest.raises(TypeCheckError, match="return value"):
        query.unpack(np.zeros((2, 1), np.uint8), (3,))


def test_what_names_no_array_is_left_alone():
    assert hasattr(objectives.margin, "__wrapped__")
    assert not hasattr(objectives.unscaled, "__wrapped__")


def test_a_package_imported_before_is_refused():
    with pytest.raises(AssertionError, match="imported before"):
        hold()
