"""How few spikes break a network on events: attacks against random flips, failures counted.

    python benchmarks/event_flips.py --model nmnist-delayed --events nmnist_small_test.npz

Of all samples that are right when clean: the median of the fewest changed entries that break, with
infinity for those that were not broken within the budget.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from neurorobust import datasets, models
from neurorobust.attacks import Attack, find
from neurorobust.attacks.events.sparse_search import SparseSearch
from neurorobust.attacks.fewest_flips import fewest_flips, median
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import SpikeBudget

SPARSE = ("sda", "sparse-search", "pointwise", "spikefool")  # one call; the others search budgets


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--events", type=Path, required=True, help="an npz of events")
    parser.add_argument("--bin-us", type=int, default=20000)
    parser.add_argument("--flips", type=int, default=800, help="largest budget of an attack")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--attacks", nargs="+", default=[*SPARSE, "spike-random"])
    options = parser.parse_args()
    network = models.resolve(options.model)
    classifier = network.classifier(EngineBackend(network.model))
    data = datasets.load(
        f"npz:{options.events}",
        steps=network.card.steps,
        bin_us=options.bin_us,
        limit=options.limit,
    )
    x, labels = data.batch(0, len(data))
    clean = classifier.predict(x)
    entries = x[0].numel()
    print(f"{network.name}: {int((clean == labels).sum())} of {len(x)} right when clean; "
          f"{int(x.flatten(1).sum(1).median())} spikes of {entries} entries in the median sample, "
          f"{x.shape[-1]} steps of {options.bin_us} us")  # fmt: skip
    print("| attack | budget | broken | median | mean of the broken | seconds |")
    print("|---|---|---|---|---|---|")
    for name in options.attacks:
        attack: Attack = find(name)
        if isinstance(attack, SparseSearch):
            attack = SparseSearch(queries=options.queries, fewest=True)
        most = entries if attack.control else options.flips
        started = time.perf_counter()
        fewest = fewest_flips(
            attack, classifier, x, labels, SpikeBudget(most), torch.Generator().manual_seed(0),
            halvings=0 if name in SPARSE else 3,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        tried = fewest[fewest > 0]
        broken = tried[torch.isfinite(tried)]
        mean = f"{float(broken.mean()):.1f}" if len(broken) else "-"
        print(f"| `{name}` | {most} | {len(broken)} of {len(tried)} "
              f"| {median(fewest):g} | {mean} | {seconds:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
