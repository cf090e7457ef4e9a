"""A run directory: what training leaves and everything later starts from. No pickles.

network.json          the NetworkSpec
weights.safetensors   the parameters after the best epoch
card.json             the Card (encoder, steps, readout) of the network
training.json         settings, history, best epoch, versions, digests of the first two; the
                      last to be written: it marks the run as complete
last.safetensors      only while training is under way: the state after the last whole epoch
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as dump_tensors
from torch import Tensor

from neurorobust.errors import BadInput, OutputError
from neurorobust.networks import NetworkSpec, build
from neurorobust.records import Card
from neurorobust.support import schema
from neurorobust.support.files import atomic, probe, write_text
from neurorobust.support.lock import LOCK

if TYPE_CHECKING:
    from neurorobust.networks import SlayerNetwork

NETWORK, WEIGHTS, CARD, TRAINING = (
    "network.json",
    "weights.safetensors",
    "card.json",
    "training.json",
)
LAST = "last.safetensors"
FILES = (TRAINING, NETWORK, WEIGHTS, CARD, LAST)


def prepare(path: Path, resume: bool, overwrite: bool) -> None:
    """Make sure that a run may be written to `path`; `overwrite` removes the files of an older run.

    Raises:
        OutputError: something is there already (with `overwrite`: something that is no run's), or
            the folder cannot be made.
    """
    try:
        present = {entry.name for entry in path.iterdir()} if path.exists() else set()
        present -= {LOCK}
        if present and not (resume or overwrite):
            raise OutputError(f"{path}: exists already, give --resume or --overwrite")
        if resume and present and not present & set(FILES):
            raise OutputError(f"{path}: holds no training run to resume")
        if overwrite and not resume:
            _require_run(path, present)
            for name in FILES:
                (path / name).unlink(missing_ok=True)
        probe(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error


def _require_run(path: Path, present: set[str]) -> None:
    """Refuse to replace files that no training run wrote: a run leaves `training.json` or a state.

    Raises:
        OutputError: names the first of them.
    """
    names = [name for name in FILES if name in present]
    if not names or LAST in present:
        return
    try:
        _training(path, _read(path, TRAINING))
    except BadInput:
        raise OutputError(
            f"{path / names[0]}: not written by a training run, and never removed; move it, or "
            "choose another --out"
        ) from None


def save_run(
    path: Path,
    spec: NetworkSpec,
    weights: dict[str, Tensor],
    card: Card,
    training: dict[str, Any],
) -> None:
    """Write the four files, each atomically, `training.json` last."""
    contents = {
        NETWORK: spec.to_json().encode(),
        WEIGHTS: dump_tensors({name: tensor.contiguous() for name, tensor in weights.items()}),
    }
    for name, content in contents.items():
        with atomic(path / name) as temporary:
            temporary.write_bytes(content)
    write_text(path / CARD, card.model_dump_json(indent=2) + "\n")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    write_text(path / TRAINING, json.dumps(training | {"sha256": digests}, indent=2) + "\n")
    (path / LAST).unlink(missing_ok=True)


def load_run(path: Path) -> tuple[SlayerNetwork, Card, dict[str, Any]]:
    """The trained network on the CPU, its card, and the content of `training.json`.

    Raises:
        BadInput: the directory is missing, incomplete or damaged; the message names the file.
        UnavailableError: lava-dl is not installed.
    """
    path = Path(path)
    if not path.is_dir():
        raise BadInput(f"run {path}: no such directory")
    if (path / LAST).exists() and not (path / TRAINING).exists():
        raise BadInput(f"run {path}: training is not finished, continue it with --resume")
    contents = {name: _read(path, name) for name in (TRAINING, NETWORK, WEIGHTS, CARD)}
    training = _training(path, contents[TRAINING])
    for name, digest in training["sha256"].items():
        if name in contents and hashlib.sha256(contents[name]).hexdigest() != digest:
            raise BadInput(f"run {path}: {name} is damaged: its SHA-256 is not {digest[:12]}...")
    try:
        spec = NetworkSpec.from_json(contents[NETWORK])
        card = schema.parse(contents[CARD], Card, CARD)
        tensors = parse_tensors(contents[WEIGHTS])
    except (SafetensorError, BadInput) as error:
        raise BadInput(f"run {path}: damaged: {' '.join(str(error).split())}") from error
    with torch.random.fork_rng(devices=[]):
        network = build(spec)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"run {path}: {WEIGHTS} does not fit {NETWORK}: {reason}") from error
    return network.eval(), card, training


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except FileNotFoundError as error:
        raise BadInput(f"run {path}: incomplete: no {name}") from error
    except OSError as error:
        raise BadInput(f"run {path}: {name} cannot be read: {error.strerror}") from error


def _training(path: Path, content: bytes) -> dict[str, Any]:
    try:
        training = json.loads(content)  # a loss that became NaN is a result too
    except (ValueError, RecursionError) as error:
        raise BadInput(f"run {path}: {TRAINING} is damaged: {error}") from error
    digests = training.get("sha256") if isinstance(training, dict) else None
    if not isinstance(digests, dict) or not {NETWORK, WEIGHTS} <= digests.keys():
        raise BadInput(f"run {path}: {TRAINING} is damaged: no SHA-256 of {NETWORK}, {WEIGHTS}")
    return dict(training)
