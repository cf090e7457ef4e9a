"""Try to break what a recipe left standing, by a search made of other code than its members.

    python benchmarks/beat_standard.py --case nmnist-cnn-10 --data-dir D --record EVALUATION
    python benchmarks/beat_standard.py --model digits-mlp --eps 0.1 --limit 64 --recipe standard-1

Without `--record` the evaluation is run first (its time is not the search's). Of the n samples
that stand, the search may break at most max(1, n / 50) within its minutes, if the recipe is strong.
Everything broken is verified: the budget in numpy from the raw sample, the label on the engine and
on the reference, with `--lava N` for so many samples in Lava too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import common
import torch
from searching import records, verify
from searching.hunt import Effort, hunt
from torch import Tensor

from neurorobust import budgets, datasets, models
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.registry import Settings, open_backend
from neurorobust.classifier import Network
from neurorobust.errors import BadInput, CheckFailed
from neurorobust.support import files


@dataclass(frozen=True)
class Case:
    """A network, its samples (None: all) and a budget as typed."""

    model: str
    kind: str
    typed: str
    limit: int | None = 100
    dataset: str | None = None


CASES = {
    "digits-mlp": Case("digits-mlp", "eps", "0.1", None),
    "digits-mlp-64": Case("digits-mlp", "eps", "0.1", 64),
    "mnist-cnn": Case("mnist-cnn", "eps", "0.15"),
    "fashion-cnn": Case("fashion-cnn", "eps", "0.05"),
    "nmnist-cnn-10": Case("nmnist-cnn", "flips", "10"),
    "nmnist-cnn-20": Case("nmnist-cnn", "flips", "20"),
    "nmnist-delayed": Case("nmnist-delayed", "flips", "10"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    made = common.parser(__doc__)
    made.add_argument("--case", nargs="+", choices=CASES, default=None, help="those named here")
    made.add_argument("--model", default=None, help="a network of your own choice")
    made.add_argument("--dataset", default=None, help="default: the card's")
    made.add_argument("--eps", default=None)
    made.add_argument("--flips", default=None)
    made.add_argument("--limit", type=int, default=None)
    made.add_argument("--data-dir", type=Path, default=None)
    made.add_argument(
        "--record", type=Path, default=None, help="folder of an evaluation (one case)"
    )
    made.add_argument("--recipe", default="standard", help="to be run where there is no --record")
    made.add_argument(
        "--minutes", type=float, default=20.0, help="of processor time a thread, a case"
    )
    made.add_argument("--rounds", type=int, default=None, help="at most (default any, quick 1)")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--lava", type=int, default=0, metavar="N", help="replay N in Lava")
    made.add_argument("--found", type=Path, default=None, help="folder for what broke, as npz")
    options = common.begin(made, arguments)
    if options.quick:
        options.rounds = options.rounds or 1
    try:
        chosen = asked(options)
        outcomes = {name: attempt(name, case, options) for name, case in chosen.items()}
    except (BadInput, CheckFailed) as error:
        made.error(str(error))
    heads = ("case", "samples", "standing", "broken", "limit", "refused", "seconds")
    rows = [(name, *(outcome[head] for head in heads[1:])) for name, outcome in outcomes.items()]
    common.table(heads, rows)
    ratios = {name: outcome["broken"] / outcome["limit"] for name, outcome in outcomes.items()}
    settings = {name: getattr(options, name) for name in ("minutes", "recipe", "seed")}
    common.finish("beat_standard", options, {"ratios": ratios, "cases": outcomes, **settings})


def asked(options: argparse.Namespace) -> dict[str, Case]:
    """The cases of the command line, by name."""
    if (options.eps is None) == (options.flips is None) and options.model is not None:
        raise BadInput("--model: give --eps or --flips, one of them")
    if options.model is not None:
        kind = "flips" if options.eps is None else "eps"
        typed = options.flips if options.eps is None else options.eps
        case = Case(options.model, kind, typed, options.limit, options.dataset)
        chosen = {f"{options.model} {kind}={typed}": case}
    else:
        if options.dataset is not None or options.eps is not None or options.flips is not None:
            raise BadInput("--dataset, --eps, --flips: belong to --model, a case has its own")
        chosen = {name: CASES[name] for name in options.case or CASES}
        if options.limit is not None:
            chosen = {name: replace(case, limit=options.limit) for name, case in chosen.items()}
    if options.record is not None and len(chosen) > 1:
        raise BadInput(f"--record: of one case, not of {len(chosen)}; name one with --case")
    return chosen


def attempt(name: str, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Search one case, verify what it broke, and say so in data."""
    network = models.resolve(case.model)
    data = datasets.load(
        case.dataset or network.card.dataset, "test", options.data_dir, limit=case.limit,
        steps=network.card.steps,
    )  # fmt: skip
    budget = budgets.parse(case.kind, case.typed)
    key = f"{case.kind}={case.typed}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.record
        if folder is None:
            folder = Path(scratch) / "evaluation"
            records.evaluate(folder, evaluation(case, network, options))
        rows = records.survivors(folder, key, network.model.sha256, data)
    x, labels = data.batch(0, len(data))
    x, labels = x[rows], labels[rows]
    print(f"{name}: {len(rows)} of {len(data)} stand at {key}", flush=True)
    begun = time.process_time()
    effort = Effort(options.minutes, options.rounds, torch.get_num_threads(), options.seed)
    found, broken, turns, moves = hunt(network, x, labels, budget, effort)
    seconds = (time.process_time() - begun) / torch.get_num_threads()
    targets = {
        backend.name: network.classifier(backend)
        for backend in (EngineBackend(network.model), ReferenceBackend(network.model))
    }
    reasons = verify.verdicts(found[broken], x[broken], labels[broken], budget, targets)
    good = [place for place, reason in zip(broken, reasons, strict=True) if reason is None]
    if options.lava:
        in_lava(network, found[good[: options.lava]], labels[good[: options.lava]])
    if options.found is not None:
        options.found.mkdir(parents=True, exist_ok=True)
        arrays = {"index": rows[good], "adversarial": found[good].numpy()}
        files.write_npz(options.found / f"{name.replace(' ', '-')}.npz", arrays)
    return {
        "samples": len(data),
        "standing": len(rows),
        "broken": len(good),
        "limit": max(1, len(rows) // 50),
        "refused": len(broken) - len(good),
        "reasons": [reason for reason in reasons if reason is not None],
        "indices": rows[good].tolist(),
        "lava": min(options.lava, len(good)),
        "turns": turns,
        "moves": moves,
        "seconds": round(seconds, 1),
    }


def evaluation(case: Case, network: Network, options: argparse.Namespace) -> list[str]:
    """Arguments of `neurorobust evaluate`."""
    given = [case.model, "--dataset", case.dataset or network.card.dataset]
    given += ["--attacks", options.recipe, f"--{case.kind}", case.typed]
    if case.limit is not None:
        given += ["--limit", str(case.limit)]
    if options.data_dir is not None:
        given += ["--data-dir", str(options.data_dir)]
    return given


def in_lava(network: Network, found: Tensor, labels: Tensor) -> None:
    """Replay in Lava.

    Raises:
        CheckFailed: Lava gives the true label to one.
    """
    if not len(found):
        return
    with open_backend("lava", network.model, Settings()) as backend:
        answers = network.classifier(backend).predict(found)
    if bool((answers == labels).any()):
        raise CheckFailed(f"Lava: {int((answers == labels).sum())} of {len(found)} are not broken")


if __name__ == "__main__":
    main()
