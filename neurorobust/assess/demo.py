"""The whole way on digits: train, export, parity, attack, compare, confirm, report."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from neurorobust import datasets, netx
from neurorobust.assess.assess import Setup, assess, float_classifier
from neurorobust.assess.confirm import require_identical
from neurorobust.backends.parity import parity
from neurorobust.backends.registry import open_backend
from neurorobust.classifier import Network
from neurorobust.datasets import Dataset
from neurorobust.errors import BadInput, CheckFailed, OutputError
from neurorobust.evaluation import Confirm, Progress, Request
from neurorobust.evaluation.folder import RECORD
from neurorobust.models import CARD_FILE, read_card, write_card
from neurorobust.records import ParityResult, Record
from neurorobust.support.lock import locked

EPSILONS = ("0.05", "0.1", "0.15", "0.2", "0.3")
FLIPS = ("5", "10", "20")
ATTACKS = ("pgd-linf", "spike-topk")
NAME = "digits-mlp"
LAVA_SAMPLES = 16
CONFIRM_SAMPLES = 16

Say = Callable[[str], None]


def demo(
    out: Path,
    seed: int,
    resume: bool,
    overwrite: bool,
    say: Say,
    progress: Progress,
    command: str = "neurorobust demo",
) -> Record:
    """Run everything into `out`: `run/` (training), `model.net`, `card.json`, and the record.

    Args:
        out: directory of the result.
        seed: of the initial weights, of batches and of attacks.
        resume: go on with what is there.
        overwrite: begin again over what is there.
        say: called with one line as each step ends.
        progress: called with (done, total, what).
        command: for the record.

    Raises:
        CheckFailed: the forms of the network differ somewhere, or Lava does not confirm.
        OutputError: `out` holds a result and neither `resume` nor `overwrite` was given.
    """
    with locked(out):
        return _demo(out, seed, resume, overwrite, say, progress, command)


def _demo(
    out: Path,
    seed: int,
    resume: bool,
    overwrite: bool,
    say: Say,
    progress: Progress,
    command: str,
) -> Record:
    """The same, with `out` locked."""
    if not (resume or overwrite):
        for name in ("run", "model.net", CARD_FILE, RECORD):
            if (out / name).exists():
                raise OutputError(f"{out / name}: exists already; --resume or --overwrite")
    _require_ours(out)
    run = train_digits(out / "run", seed, resume, overwrite, progress)
    say(f"trained   {run}")
    network = export_digits(run, out)
    say(f"exported  {network.model.path}  sha256 {network.model.sha256[:12]}")
    data = datasets.load("digits")
    checked = check_parity(network, run, data, progress)
    for result in checked:
        say(f"parity    {result.first} = {result.second}: {result.samples} digits, every layer")
    request = Request(
        attacks=ATTACKS,
        budgets={"eps": EPSILONS, "flips": FLIPS},
        seed=seed,
        confirm=Confirm("lava", CONFIRM_SAMPLES),
        compare_with=ATTACKS[0],
    )
    against = float_classifier(run, network)
    setup = Setup(against=against, parity=checked, command=command)
    record = assess(network, data, request, out, setup, resume, overwrite, progress)
    if record.confirmed is not None:
        require_identical(record.confirmed)
    return record


def _require_ours(out: Path) -> None:
    """Refuse to replace a network that no demo wrote: it leaves one with its card beside it.

    Raises:
        OutputError: names the file.
    """
    model, card = out / "model.net", out / CARD_FILE
    there = [path for path in (model, card) if path.exists()]
    if not there:
        return
    try:
        known = read_card(card)
        ours = known.name == NAME and known.sha256 == sha256(model.read_bytes()).hexdigest()
    except (BadInput, OSError):
        ours = False
    if not ours:
        raise OutputError(
            f"{there[0]}: not written by the demo, and never replaced; move it, or choose another "
            "--out"
        )


def train_digits(run: Path, seed: int, resume: bool, overwrite: bool, progress: Progress) -> Path:
    """Train the MLP on the digits' training part."""
    from dataclasses import replace

    from neurorobust.training import recipe, train

    spec, options = recipe("mlp", "digits")
    return train(
        spec,
        "digits",
        run,
        replace(options, seed=seed),
        resume=resume,
        overwrite=overwrite,
        progress=progress,
        command=f"neurorobust train --network mlp --dataset digits --seed {seed} --out RUN",
    )


def export_digits(run: Path, out: Path) -> Network:
    """Write `model.net` and its card beside the record."""
    from neurorobust.export import export
    from neurorobust.training import load_run

    network, card, _ = load_run(run)
    model = netx.write(export(network), out / "model.net")
    card = card.model_copy(update={"sha256": model.sha256, "name": NAME})
    write_card(card, out / CARD_FILE)
    return Network(NAME, model, card)


def check_parity(
    network: Network, run: Path, data: Dataset, progress: Progress
) -> tuple[ParityResult, ...]:
    """SLAYER against reference, engine (every digit) and Lava (the first few), in every layer.

    Raises:
        CheckFailed: at the first place where two of them differ.
    """
    from neurorobust.backends.slayer.backend import SlayerBackend
    from neurorobust.training import load_run

    encoder = network.encoder
    slayer = SlayerBackend(load_run(run)[0], precision="quantised")
    targets = (("reference", len(data)), ("engine", len(data)), ("lava", LAVA_SAMPLES))
    results = []
    for place, (name, samples) in enumerate(targets):
        progress(place, len(targets), f"parity: SLAYER against {name}")
        inputs = encoder.encode(data.batch(0, samples)[0])
        with open_backend(name, network.model) as target:
            result = parity(slayer, target, inputs, variables=("spikes", "u", "v"))
        if not result.identical:
            raise CheckFailed(f"parity: {result.first_difference}")
        results.append(result)
    progress(len(targets), len(targets), "parity")
    return tuple(results)
