"""The front door: one function a verb, for those who call from Python and for the command line.

A group of verbs stands in one file; nothing is loaded until a name is touched (PEP 562), so that
networks are listed, and a wrong option is refused, without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurorobust.api.assessments import alignment_cost as alignment_cost
    from neurorobust.api.assessments import ask as ask
    from neurorobust.api.assessments import assess_network as assess_network
    from neurorobust.api.assessments import float_side as float_side
    from neurorobust.api.assessments import require_confirmed as require_confirmed
    from neurorobust.api.cards import Described as Described
    from neurorobust.api.cards import card as card
    from neurorobust.api.checks import check as check
    from neurorobust.api.data import known_data as known_data
    from neurorobust.api.data import scored_data as scored_data
    from neurorobust.api.data import validation_data as validation_data
    from neurorobust.api.demos import demo as demo
    from neurorobust.api.evaluation import Found as Found
    from neurorobust.api.evaluation import attack as attack
    from neurorobust.api.evaluation import compare as compare
    from neurorobust.api.evaluation import evaluate as evaluate
    from neurorobust.api.exports import Exported as Exported
    from neurorobust.api.exports import export_network as export_network
    from neurorobust.api.exports import export_run as export_run
    from neurorobust.api.exports import own_network as own_network
    from neurorobust.api.faults import fault_bits as fault_bits
    from neurorobust.api.faults import fault_inputs as fault_inputs
    from neurorobust.api.faults import fault_leak as fault_leak
    from neurorobust.api.listing import Environment as Environment
    from neurorobust.api.listing import Listed as Listed
    from neurorobust.api.listing import info as info
    from neurorobust.api.listing import list_attacks as list_attacks
    from neurorobust.api.listing import list_networks as list_networks
    from neurorobust.api.networks import load as load
    from neurorobust.api.nir import Imported as Imported
    from neurorobust.api.nir import import_nir as import_nir
    from neurorobust.api.parities import Compared as Compared
    from neurorobust.api.parities import parity as parity
    from neurorobust.api.parities import parity_of as parity_of
    from neurorobust.api.precisions import quantise as quantise
    from neurorobust.api.runs import Ran as Ran
    from neurorobust.api.runs import run as run
    from neurorobust.api.training import Trained as Trained
    from neurorobust.api.training import train as train
    from neurorobust.backends.registry import Settings as Settings
    from neurorobust.report.result import FaultResult as FaultResult
    from neurorobust.report.result import Result as Result
    from neurorobust.report.result import read_result as read_result

GROUPS = {  # module: the names it has here
    "api.assessments": (
        "alignment_cost",
        "ask",
        "assess_network",
        "float_side",
        "require_confirmed",
    ),
    "api.cards": ("Described", "card"),
    "api.checks": ("check",),
    "api.data": ("known_data", "scored_data", "validation_data"),
    "api.demos": ("demo",),
    "api.evaluation": ("Found", "attack", "compare", "evaluate"),
    "api.exports": ("Exported", "export_network", "export_run", "own_network"),
    "api.faults": ("fault_bits", "fault_inputs", "fault_leak"),
    "api.listing": ("Environment", "Listed", "info", "list_attacks", "list_networks"),
    "api.networks": ("load",),
    "api.nir": ("Imported", "import_nir"),
    "api.parities": ("Compared", "parity", "parity_of"),
    "api.precisions": ("quantise",),
    "api.runs": ("Ran", "run"),
    "api.training": ("Trained", "train"),
    "backends.registry": ("Settings",),
    "report.result": ("FaultResult", "Result", "read_result"),
}
WHERE = {name: f"neurorobust.{module}" for module, names in GROUPS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what a name stands for when it is first touched."""
    if name not in WHERE:
        raise AttributeError(f"module 'neurorobust.api' has no attribute {name!r}")
    found = getattr(importlib.import_module(WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The verbs, and what every module has."""
    return sorted({*globals(), *WHERE})
