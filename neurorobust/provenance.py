"""Where and with what a result was computed: versions and machine, as plain words."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurorobust.records import Provenance
from neurorobust.support.version import __version__

PACKAGES = (
    "torch",
    "numpy",
    "numba",
    "foolbox",
    "h5py",
    "lava-nc",
    "lava-dl",
    "lightning",
    "scikit-learn",
    "torchvision",
)
CPU_FILE = Path("/proc/cpuinfo")  # Linux; elsewhere `platform.processor()` has to do


def versions() -> dict[str, str]:
    """Python and the packages a result depends on; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """Operating system, architecture, processor, cores; nothing that names a person or host."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": str(os.cpu_count() or 1),
    }


def now() -> datetime.datetime:
    """The present, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def provenance(
    command: str,
    started: datetime.datetime,
    seconds: float,
    target: Mapping[str, Any] | None = None,
) -> Provenance:
    """What a record says of its making.

    Args:
        command: the command line, or the call.
        started: when, in UTC.
        seconds: wall-clock time of the work, without what an interrupted run did before.
        target: what the target tells of its runs: times, board, power.
    """
    return Provenance(
        neurorobust=__version__,
        versions=versions(),
        machine=machine(),
        command=command,
        started=started.isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
        target=dict(target or {}),
    )


def _processor() -> str:
    if CPU_FILE.is_file():
        for line in CPU_FILE.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
