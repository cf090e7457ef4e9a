"""Which samples an evaluation left standing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput
from neurorobust.records import Record
from neurorobust.support import files
from searching.delta_network import Array


def survivors(folder: Path, key: str, model_sha256: str, data: Dataset) -> Array:
    """Places of the samples that were right when clean and under every attack at a budget.

    Args:
        folder: what `neurorobust evaluate --out` left.
        key: the budget as typed, `eps=0.1`.
        model_sha256: of the network to be searched.
        data: the samples to be searched.

    Raises:
        BadInput: no finished evaluation, or one of another network, other data or another budget.
    """
    try:
        record = Record.model_validate_json((folder / "record.json").read_text(encoding="utf-8"))
        asked = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValidationError, ValueError) as error:
        raise BadInput(f"{folder}: no finished evaluation: {str(error).splitlines()[0]}") from error
    arrays = files.read_npz(folder / "samples.npz")
    if record.model_sha256 != model_sha256:
        raise BadInput(f"{folder}: of another network, sha256 {record.model_sha256[:12]}")
    labels = np.asarray(arrays["label"])
    if len(labels) != len(data) or not np.array_equal(labels, data.y.numpy()):
        raise BadInput(f"{folder}: of {len(labels)} other samples, not these {len(data)}")
    if asked.get("data") != data.digest():
        raise BadInput(f"{folder}: of other samples, digest {str(asked.get('data'))[:12]}")
    attacked = [name for name in arrays if name.startswith(f"predicted/{key}/")]
    if not attacked:
        raise BadInput(f"{folder}: no attack at {key}")
    right = np.asarray(arrays["predicted/clean"] == labels)
    for name in attacked:
        right &= np.asarray(arrays[name] == labels)
    found: Array = np.flatnonzero(right)
    return found


def evaluate(folder: Path, arguments: list[str]) -> None:
    """Run `neurorobust evaluate` with these arguments into a folder.

    Raises:
        BadInput: it failed; says how.
    """
    command = [sys.executable, "-m", "neurorobust", "evaluate", *arguments, "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise BadInput(f"{folder}: the evaluation ended with {done.returncode}: {last}")
