"""Reading files that are not ours: in a child process, with limits on time and memory.

The HDF5 library itself can hang, crash or allocate on a hostile heap before `read` sees anything to
refuse. In a child that costs a process, and is one clear error here. What comes back was validated
there and written anew by our own writer: nothing of the stranger's bytes is parsed here.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from neurorobust.errors import ModelFileError
from neurorobust.netx.image import digest, load
from neurorobust.netx.isolated import ask
from neurorobust.netx.model import NetxModel
from neurorobust.netx.read import parse
from neurorobust.netx.rules import Finding

SECONDS = 5.0  # from the moment that the child has the bytes
MEMORY = 500 << 20  # bytes of address space, the interpreter and numpy included
KEPT = 8  # files of this process that are not read again

_known: OrderedDict[str, Examined] = OrderedDict()


@dataclass(frozen=True)
class Examined:
    """What a file holds.

    Attributes:
        model: None where it cannot be read.
        error: why not, the message and the rule; "" where it can.
        findings: every rule of files that it breaks (`inspect`).
    """

    model: NetxModel | None
    error: str
    rule: str
    findings: tuple[Finding, ...]


def read_guarded(path: str | Path, seconds: float = SECONDS, memory: int = MEMORY) -> NetxModel:
    """`netx.read` for a file from a stranger.

    Args:
        path: the file.
        seconds: time that reading may take.
        memory: bytes of address space that the reading process may have.

    Raises:
        ModelFileError: as `netx.read`, or a limit was exceeded, or the HDF5 library crashed.
    """
    found = examine(path, seconds, memory)
    if found.model is None:
        raise ModelFileError(found.error, found.rule)
    return found.model


def examine(path: str | Path, seconds: float = SECONDS, memory: int = MEMORY) -> Examined:
    """Read and inspect a file from a stranger.

    Raises:
        ModelFileError: missing or unreadable, a limit was exceeded, or the HDF5 library crashed.
    """
    image = load(Path(path))
    sha256 = digest(image)
    if sha256 in _known:
        found = _known[sha256]
        if found.model is not None:
            return replace(found, model=replace(found.model, path=str(path)))
    name = str(path)
    answer = ask("neurorobust.netx.child", [name, str(memory)], image, name, seconds, memory)
    header, _, body = answer.partition(b"\n")
    said = json.loads(header)
    model = None
    if said["error"] is None:
        model = replace(parse(body, str(path)), sha256=sha256, path=str(path))
    findings = tuple(Finding(*row) for row in said["findings"])
    found = Examined(model, said["error"] or "", said["rule"], findings)
    _known[sha256] = found
    if len(_known) > KEPT:
        _known.popitem(last=False)
    return found
