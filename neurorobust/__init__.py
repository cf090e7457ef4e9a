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
    from neurorobust.api import (
        Compared,
        Described,
        Environment,
        Exported,
        FaultResult,
        Found,
        Imported,
        Listed,
        Ran,
        Result,
        Settings,
        Trained,
        alignment_cost,
        ask,
        assess_network,
        attack,
        card,
        check,
        compare,
        demo,
        evaluate,
        export_network,
        export_run,
        fault_bits,
        fault_inputs,
        fault_leak,
        float_side,
        import_nir,
        info,
        known_data,
        list_attacks,
        list_networks,
        load,
        own_network,
        parity,
        parity_of,
        quantise,
        read_result,
        require_confirmed,
        run,
        scored_data,
        train,
        validation_data,
    )
    from neurorobust.classifier import Classifier, Network
    from neurorobust.records import Card, Record

_ELSEWHERE = {  # beside what `neurorobust.api` has
    **dict.fromkeys(("Classifier", "Network"), "neurorobust.classifier"),
    **dict.fromkeys(("Card", "Record"), "neurorobust.records"),
}
_MODULES = ("attacks", "datasets", "models")
__all__ = [
    "Card",
    "Classifier",
    "Compared",
    "Described",
    "Environment",
    "Exported",
    "FaultResult",
    "Found",
    "Imported",
    "Listed",
    "Network",
    "Ran",
    "Record",
    "Result",
    "Settings",
    "Trained",
    "__version__",
    "alignment_cost",
    "ask",
    "assess_network",
    "attack",
    "attacks",
    "card",
    "check",
    "compare",
    "datasets",
    "demo",
    "evaluate",
    "export_network",
    "export_run",
    "fault_bits",
    "fault_inputs",
    "fault_leak",
    "float_side",
    "import_nir",
    "info",
    "known_data",
    "list_attacks",
    "list_networks",
    "load",
    "models",
    "own_network",
    "parity",
    "parity_of",
    "quantise",
    "read_result",
    "require_confirmed",
    "run",
    "scored_data",
    "train",
    "validation_data",
]


def __getattr__(name: str) -> Any:
    """Import what a name stands for when it is first touched (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"neurorobust.{name}")
    if name in __all__:
        where = _ELSEWHERE.get(name, "neurorobust.api")
        found = getattr(importlib.import_module(where), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'neurorobust' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The front door, and what every module has."""
    return sorted({*globals(), *__all__})
