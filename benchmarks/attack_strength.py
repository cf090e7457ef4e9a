"""A first attack against a strong one, on real networks: PGD-10 with one surrogate, and SA-PGD.

    python benchmarks/attack_strength.py --model lava-mnist --data-dir D --eps 0.05 0.1 0.15 0.2

Of the first samples of the test set, how many are right when clean and after each attack, with 95 %
Wilson intervals; `gap` is what the first attack alone would have called robust and is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common

from neurorobust import datasets, models
from neurorobust.attacks import find
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.backends.registry import open_backend
from neurorobust.evaluation import Request, evaluate
from neurorobust.rates import AttackRate, Rate

FIRST, STRONG = "pgd-10", "sa-pgd"


def main(arguments: Sequence[str] | None = None) -> None:
    made = common.parser(__doc__)
    made.add_argument("--model", default="digits-mlp", help="default digits-mlp")
    made.add_argument("--dataset", default=None, help="default: the card's")
    made.add_argument("--data-dir", type=Path, default=None)
    made.add_argument("--eps", nargs="+", default=["0.05", "0.1", "0.2"])
    made.add_argument("--limit", type=int, default=1000)
    options = common.begin(made, arguments)
    network = models.resolve(options.model)
    data = datasets.load(
        options.dataset or network.card.dataset,
        "test",
        options.data_dir,
        limit=16 if options.quick else options.limit,
        steps=network.card.steps,
    )
    with open_backend("engine", network.model) as backend:
        record = evaluate(
            network.classifier(backend),
            data,
            Request([find("random"), Pgd(FIRST, steps=10), find(STRONG)], {"eps": options.eps}),
            card=network.card,
            model=network.name,
        )
    rows = []
    for eps, rate in record.robust["eps"].items():
        first, strong = rate.by_attack[FIRST], rate.by_attack[STRONG]
        rows.append((eps, _rate(rate.by_attack["random"]), _rate(first), _rate(strong),
                     first.correct - strong.correct, first.seconds, strong.seconds))  # fmt: skip
    print(f"{network.name}: {_rate(record.clean)} right when clean, of {record.clean.total}")
    common.table(("eps", "random", FIRST, STRONG, "gap", f"{FIRST} s", f"{STRONG} s"), rows)
    result: dict[str, Any] = {"model": network.name, "record": record.model_dump(mode="json")}
    common.finish("attack_strength", options, result)


def _rate(rate: Rate | AttackRate) -> str:
    low, high = rate.interval
    return f"{rate.correct} ({100 * low:.1f} to {100 * high:.1f} %)"


if __name__ == "__main__":
    main()
