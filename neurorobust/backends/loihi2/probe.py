"""Is there a Loihi 2 board? Asked in the order in which things go missing.

The parts that reach a board are not in the public wheels; Intel's research community (INRC) gets
them. Each probe looks for one of them and says what is needed; nothing falls back to a simulation.
What is asked for a board comes from the variables that Lava itself reads:

- `NXSDKHOST` (address) and `HOST_BINARY` (its server's path): a board on the network, unless
  `SLURM=1`;
- else Slurm: `BOARD` (a node) or `PARTITION`, or neither;
- `LOIHI_GEN`: the generation, N3B3 unless said.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from neurorobust.errors import BadInput, HardwareUnavailable

GENERATIONS = ("N2A2", "N3B2", "N3B3", "N3C1", "N3D1")  # lava.utils.loihi.ChipGeneration
VARIABLES = (
    "SLURM",
    "NOSLURM",
    "LOIHI_GEN",
    "PARTITION",
    "BOARD",
    "NXSDKHOST",
    "HOST_BINARY",
    "NXOPTIONS",
)
COMPILER = "lava.magma.compiler.subcompilers.nc.ncproc_compiler"
ADAPTERS = "lava.proc.embedded_io"
PROFILER = "lava.utils.loihi2_profiler"
_INRC = "the Lava extension for Loihi, which Intel gives to members of its research community"


@dataclass(frozen=True)
class Board:
    """Which board is asked for.

    Attributes:
        host: `slurm` or `ethernet`.
        name: a Slurm node, or the address of the board's host; empty: any.
        partition: of Slurm; empty: any.
        generation: of the chip.
        binary: path of the server program on an ethernet host; empty: Lava's own default.
    """

    host: str
    name: str = ""
    partition: str = ""
    generation: str = "N3B3"
    binary: str = ""

    def __str__(self) -> str:
        where = self.name or (f"partition {self.partition}" if self.partition else "any board")
        return f"Loihi 2 {self.generation}, {where} ({self.host})"


def probe(environment: Mapping[str, str] | None = None) -> Board:
    """The board that can be asked for from here.

    Args:
        environment: None: this process's.

    Raises:
        HardwareUnavailable: names the probe that failed, what is needed, and what was found.
        BadInput: `LOIHI_GEN` is no generation, or `BOARD` and `PARTITION` are both given.
    """
    given = os.environ if environment is None else environment
    _need("compiler", COMPILER, _INRC, given)
    _need("adapters", ADAPTERS, f"{_INRC}: its `embedded_io` package", given)
    from lava.utils import loihi

    if not (_present(PROFILER) or loihi.is_installed()):
        raise _unavailable(
            "lava.utils.loihi.is_installed()", f"{_INRC}: {PROFILER} is missing", given
        )
    board = _asked(given)
    if board.host == "slurm" and shutil.which("sinfo", path=given.get("PATH")) is None:
        raise _unavailable(
            "host",
            "NXSDKHOST=<address> for a board on the network, or Slurm: there is no `sinfo` here",
            given,
        )
    return board


def verdict(environment: Mapping[str, str] | None = None) -> str:
    """The probe in words, for people: the board, or what is missing."""
    try:
        return f"{probe(environment)} can be asked for"
    except (HardwareUnavailable, BadInput) as error:
        return str(error)


def select(board: Board) -> None:
    """Tell Lava which board to use; sets its environment variables in this process.

    Raises:
        HardwareUnavailable: Slurm or the host says no.
    """
    from lava.utils import loihi

    generation = loihi.ChipGeneration(board.generation)
    try:
        if board.host == "ethernet":
            binary = {"host_binary_path": board.binary} if board.binary else {}
            loihi.use_ethernet_host(board.name, loihi_gen=generation, **binary)
        else:
            loihi.use_slurm_host(loihi_gen=generation)
            _choose(board)
    except (ValueError, ImportError, OSError, subprocess.SubprocessError) as error:
        words = " ".join(str(error).split())
        raise _unavailable("selection", f"{board}: {words}", os.environ) from None


def _choose(board: Board) -> None:
    """Set BOARD or PARTITION, after a look at Slurm's list.

    Not with `use_slurm_host(board=...)`: lava-nc 0.10.0 reads the empty line after `sinfo`'s last
    as a node and raises IndexError (`slurm.get_boards`).

    Raises:
        ValueError: Slurm does not know it, or it is down.
    """
    for variable, wanted in (("BOARD", board.name), ("PARTITION", board.partition)):
        os.environ.pop(variable, None)
        if not wanted:
            continue
        command = ["sinfo", "-h", "-o", "%N %T" if variable == "BOARD" else "%R %a"]
        if variable == "BOARD":
            command.insert(1, "-N")
        listed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        states = dict(line.split()[:2] for line in listed.stdout.splitlines() if line.split()[1:])
        if wanted not in states:
            raise ValueError(f"{variable}={wanted} is not among {', '.join(states) or 'none'}")
        if "down" in states[wanted] or "drain" in states[wanted]:
            raise ValueError(f"{variable}={wanted} is {states[wanted]}")
        os.environ[variable] = wanted


def found_variables(environment: Mapping[str, str]) -> str:
    """The variables that choose a board, as they are set."""
    found = [f"{name}={environment[name]}" for name in VARIABLES if name in environment]
    return ", ".join(found) or "none"


def _asked(given: Mapping[str, str]) -> Board:
    generation = given.get("LOIHI_GEN", "N3B3")
    if generation not in GENERATIONS:
        raise BadInput(f"LOIHI_GEN={generation}: unknown, known: {', '.join(GENERATIONS)}")
    if given.get("NXSDKHOST") and given.get("SLURM") != "1":
        return Board("ethernet", given["NXSDKHOST"], "", generation, given.get("HOST_BINARY", ""))
    name, partition = given.get("BOARD", ""), given.get("PARTITION", "")
    if name and partition:
        raise BadInput(f"BOARD={name} and PARTITION={partition}: give one of them")
    return Board("slurm", name, partition, generation)


def _need(what: str, module: str, needed: str, given: Mapping[str, str]) -> None:
    if not _present(module):
        raise _unavailable(f"{what} ({module})", needed, given)


def _present(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _unavailable(what: str, needed: str, given: Mapping[str, str]) -> HardwareUnavailable:
    return HardwareUnavailable(
        f"loihi2: probe {what} failed; needed: {needed}; environment: {found_variables(given)}"
    )
