"""The schema of what came of a fault: what every one of them says, and what each adds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from neurorobust.errors import BadInput
from neurorobust.evaluation.folder import RECORD
from neurorobust.evaluation.store import RECORD_BYTES
from neurorobust.faults.curve import Row
from neurorobust.faults.inputs import Reached
from neurorobust.faults.memory import Flip
from neurorobust.rates import Rate, Strict, Text
from neurorobust.records import Card, Provenance
from neurorobust.support import schema
from neurorobust.support.names import unknown


class FaultRecord(Strict):
    """What every fault's record says.

    fault: which one. sha256: of the `.net` file. samples: that were scored, of `dataset`; data:
    SHA-256 of them and their labels. target: what `backend` is, in words.
    """

    version: Literal[1] = 1
    fault: str
    model: Text
    sha256: str
    card: Card
    backend: str
    target: Text
    dataset: Text
    samples: int
    data: str
    seed: int
    provenance: Provenance


class BitsRecord(FaultRecord):
    """Accuracy over the number of flipped weight bits.

    known: samples that the adversary had; known_data: SHA-256 of them. mode, candidates, repeats:
    of the search and of its control, see `faults.bits`. flips: the searched bits in the order they
    were found.
    """

    fault: Literal["bits"] = "bits"
    known: int
    known_data: str
    mode: str
    candidates: int
    repeats: int
    rows: tuple[Row, ...]
    flips: tuple[Flip, ...]


class LeakRow(Strict):
    """Right answers to samples that come first, and after the predecessors of `faults.leak`."""

    regime: str
    alone: Rate
    control: Rate
    natural: Rate
    crafted: Rate


class LeakRecord(FaultRecord):
    """What one sample leaves for the next; known, known_data: as of bits. rounds: of crafting."""

    fault: Literal["leak"] = "leak"
    known: int
    known_data: str
    rounds: int
    rows: tuple[LeakRow, ...]


class BoundRow(Strict):
    """A layer whose |u| never exceeds `current`, whatever the binary input."""

    layer: int
    current: int
    can_wrap: bool


class InputsRecord(FaultRecord):
    """What inputs within a budget (by kind, as typed) make of the deployment.

    rows: `clean`, `random` and the attack's, by name.
    """

    fault: Literal["inputs"] = "inputs"
    objective: str
    budget: dict[str, str]
    rounds: int
    bounds: tuple[BoundRow, ...]
    rows: dict[str, Reached]


RECORDS: dict[str, type[FaultRecord]] = {
    "bits": BitsRecord,
    "leak": LeakRecord,
    "inputs": InputsRecord,
}


class _Head(Strict):
    """Which record it is; what else it says is not read."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    fault: str | None = None


def fault_of(folder: Path) -> str | None:
    """The fault whose record lies in a folder; None: an evaluation's.

    Raises:
        BadInput: there is no record, or it is too large or not JSON.
    """
    path = folder / RECORD
    return schema.read(path, _Head, str(path), limit=RECORD_BYTES).fault


def read_fault(folder: Path) -> FaultRecord:
    """The record of a finished fault.

    Raises:
        BadInput: missing, too large, not JSON, of no known fault, or not a record of this version.
    """
    path, fault = folder / RECORD, fault_of(folder)
    if fault not in RECORDS:
        raise BadInput(f"{path}: {unknown('fault', str(fault), RECORDS)}")
    kind = RECORDS[fault]
    return schema.read(path, kind, str(path), limit=RECORD_BYTES, required=("version",))
