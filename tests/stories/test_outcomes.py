"""Ten evaluations come out as they did, sample by sample (`outcomes.py`)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import outcomes
import pytest

from neurorobust.errors import DatasetError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", outcomes.STORIES)
def test_outcomes_are_those_that_were_kept(name: str):
    folder = os.environ.get("NEUROROBUST_DATA")
    try:
        found = outcomes.outcomes(outcomes.STORIES[name], Path(folder) if folder else None)
    except DatasetError as error:
        pytest.skip(f"needs the data set: {error}")
    kept = json.loads(outcomes.KEPT.read_text())
    any_processor = next(iter(kept.values()))[name]
    assert len(outcomes.everywhere(found)) > 1
    assert outcomes.everywhere(found) == outcomes.everywhere(any_processor)
    own = kept.get(outcomes.processor())
    if own is not None:
        assert found == own[name]
