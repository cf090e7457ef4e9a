"""What is refused when attacks and data do not fit each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from neurorobust.errors import BadInput
from neurorobust.evaluation.compatibility import check_jobs
from neurorobust.evaluation.jobs import plan


@pytest.mark.parametrize("attacks", [["standard"], ["pgd-linf"], ["random"]])
def test_a_budget_on_pixels_for_data_of_spikes_names_the_budgets_that_fit(
    attacks: list[str],
) -> None:
    model = SimpleNamespace(input_shape=(2, 3, 3))
    classifier: Any = SimpleNamespace(
        backend=SimpleNamespace(model=model, name="engine"),
        encoder=SimpleNamespace(steps=0),
        differentiable=True,
    )
    spikes: Any = SimpleNamespace(
        name="recordings", domain="spikes", x=torch.zeros(4, 2, 3, 3, 5, dtype=torch.uint8)
    )
    jobs = plan({"eps": ["0.1"]}, attacks)
    wanted = "--eps 0.1: changes images, recordings holds spikes, give --flips 10 or --shifts"
    with pytest.raises(BadInput, match=wanted):
        check_jobs(classifier, spikes, jobs)
