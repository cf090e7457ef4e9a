"""How close event attacks come to the true optimum, where every change can be tried.

Tiny random networks (4 inputs, 4 steps: 16 bits; 16 neurons; 4 classes; the odd ones read out by
membrane, the even ones by spike count) and random inputs, labelled as the network labels them. All
697 changes of at most 3 bits are tried: is the sample breakable, and with how few? Then every
attack gets the same budget of 3.

    python benchmarks/spike_optimum.py --networks 60 --samples 8
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks import Attack, find
from neurorobust.attacks.events.search import FlipSearch
from neurorobust.attacks.events.sparse_search import SparseSearch
from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import SpikeBudget
from neurorobust.classifier import Classifier
from neurorobust.encoders import DirectEncoder
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron
from neurorobust.readouts import Readout

ATTACKS = ("flip-search", "sda", "sparse-search", "spike-topk", "sea", "spikefool", "g2s", "gumbel",
           "pointwise", "spike-random")  # fmt: skip
BITS, FLIPS = 16, 3


def network(seed: int) -> Classifier:
    """4 inputs, 16 neurons, 4 classes, weights and decays from the seed."""
    rng = np.random.default_rng(seed)
    inner, out = (Neuron(*(np.array(value) for value in (1024, 256, 64))) for _ in range(2))
    layers = (
        DenseLayer(0, (16, 1, 1), inner, 2 * rng.integers(-40, 50, (16, 4))),
        DenseLayer(1, (4, 1, 1), None if seed % 2 else out, 2 * rng.integers(-40, 50, (4, 16))),
    )
    backend = EngineBackend(NetxModel((4, 1, 1), layers, sha256=f"{seed:064x}"))
    return Classifier(
        DirectEncoder((4, 1, 1)), backend, Readout("membrane" if seed % 2 else "count", 1.0)
    )


def changes() -> Tensor:
    """Every change of at most FLIPS bits, fewest first: bool `[changes, BITS]`."""
    rows = []
    for count in range(FLIPS + 1):
        for chosen in itertools.combinations(range(BITS), count):
            row = torch.zeros(BITS, dtype=torch.bool)
            row[list(chosen)] = True
            rows.append(row)
    return torch.stack(rows)


def optimum(classifier: Classifier, x: Tensor, labels: Tensor) -> Tensor:
    """Fewest flips that break each sample, int64 `[batch]`; FLIPS + 1 where none up to FLIPS do."""
    tried = changes()
    size = tried.sum(1)
    fewest = torch.full((len(x),), FLIPS + 1)
    flip_queries = FlipQueries(classifier, x, labels, torch.Generator())
    for row in range(len(x)):
        broken = flip_queries(tried, torch.full((len(tried),), row)).broken > 0
        if bool(broken.any()):
            fewest[row] = size[broken].min()
    return fewest


def cases(networks: int, samples: int) -> Iterator[tuple[Classifier, Tensor, Tensor, Tensor]]:
    """Classifier, spikes, labels and optimum of each network."""
    for seed in range(networks):
        classifier = network(seed)
        coins = torch.rand(samples, 4, 1, 1, 4, generator=torch.Generator().manual_seed(seed))
        x = (coins < 0.4).to(torch.uint8)
        labels = classifier.predict(x)
        yield classifier, x, labels, optimum(classifier, x, labels)


def reached(
    name: str, classifier: Classifier, x: Tensor, labels: Tensor, queries: int = 1000
) -> Tensor:
    """Flips by which the attack broke each sample, FLIPS + 1 where it did not."""
    attack: Attack = find(name)
    if isinstance(attack, SparseSearch):
        attack = SparseSearch(queries, fewest=True)
    if isinstance(attack, FlipSearch):
        attack = FlipSearch(queries)
    found = attack(classifier, x, labels, SpikeBudget(FLIPS), torch.Generator().manual_seed(0))
    used = (found != x).flatten(1).sum(1)
    return torch.where(classifier.predict(found) != labels, used, FLIPS + 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--samples", type=int, default=8, help="of each network")
    parser.add_argument("--attacks", nargs="+", default=ATTACKS)
    options = parser.parse_args()
    all_cases = list(cases(options.networks, options.samples))
    best = torch.cat([fewest for *_, fewest in all_cases])
    breakable = best <= FLIPS
    print(f"{len(best)} samples of {options.networks} networks; "
          f"{int(breakable.sum())} can be broken by at most {FLIPS} of {BITS} bits")  # fmt: skip
    print("| attack | broken, of those that can be | with as few flips as possible |")
    print("|---|---|---|")
    for name in options.attacks:
        used = torch.cat([reached(name, *case[:3]) for case in all_cases])
        broke, total = used <= FLIPS, int(breakable.sum())
        least = broke & (used == best)
        shares = [f"{int(part.sum())} ({part.sum() / total:.1%})" for part in (broke, least)]
        print(f"| `{name}` | {shares[0]} | {shares[1]} |")


if __name__ == "__main__":
    main()
