"""`--no-control` leaves the control out and says so, in `--json` and in the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("control", [True, False])
def test_evaluate_runs_a_control_unless_told_not_to(
    workshop: Path, command: Callable[..., Any], control: bool
) -> None:
    asked = ("evaluate", workshop / "model.net", "--attacks", "fgsm", "--eps", "0.1")
    result = command(*asked, *(() if control else ("--no-control",)))
    assert result.exit_code == 0, result.output
    shown = " ".join(result.output.split())
    assert ("random (control)" in shown) is control
    assert ("no control was run: nothing shows that the attacks are stronger" in shown) is (
        not control
    )
    assert "need 30: every success rate counts these alone" in shown  # of 24 samples
