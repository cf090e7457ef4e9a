"""Train, export, check, run and attack spiking networks as they are deployed.

    import neurorobust as nr

    network = nr.load("digits-mlp")
    data = nr.datasets.load(network.card.dataset)
    with network.open("engine") as classifier:
        print(nr.evaluate(classifier, data, attacks="pgd-linf", eps="8/255"))

What stands here is the front door; nothing is loaded until a name is touched.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from neurorobust.support.version import __version__

if TYPE_CHECKING:
    from neurorobust import attacks, datasets, models
    from neurorobust.api import Found, attack, check, compare, evaluate, load, parity
    from neurorobust.classifier import Classifier, Network
    from neurorobust.records import Card, Record
    from neurorobust.report.result import Result

_WHERE = {
    **dict.fromkeys(
        ("Found", "attack", "check", "compare", "evaluate", "load", "parity"), "neurorobust.api"
    ),
    **dict.fromkeys(("Classifier", "Network"), "neurorobust.classifier"),
    **dict.fromkeys(("Card", "Record"), "neurorobust.records"),
    "Result": "neurorobust.report.result",
}
_MODULES = ("attacks", "datasets", "models")
__all__ = [
    "Card",
    "Classifier",
    "Found",
    "Network",
    "Record",
    "Result",
    "__version__",
    "attack",
    "attacks",
    "check",
    "compare",
    "datasets",
    "evaluate",
    "load",
    "models",
    "parity",
]


def __getattr__(name: str) -> Any:
    """Import what a name stands for when it is first touched (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"neurorobust.{name}")
    if name in _WHERE:
        found = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'neurorobust' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The front door, and what every module has."""
    return sorted({*globals(), *__all__})
