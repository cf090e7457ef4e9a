"""Reading files that are not ours: in a child process, with limits on time and memory.

The HDF5 library itself can hang, crash or allocate on a hostile heap before `read` sees anything to
refuse. In a child that costs a process, and is one clear error here. What comes back was validated
there and written anew by our own writer: nothing of the stranger's bytes is parsed here.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from neurorobust.errors import ModelFileError
from neurorobust.netx.child import READY
from neurorobust.netx.image import digest, load
from neurorobust.netx.model import NetxModel
from neurorobust.netx.read import parse
from neurorobust.netx.rules import DAMAGED, Finding

SECONDS = 5.0  # from the moment that the child has the bytes
MEMORY = 500 << 20  # bytes of address space, the interpreter and numpy included
START = 60.0  # seconds that the interpreter may take to start, on a busy machine
KEPT = 8  # files of this process that are not read again

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
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
    header, _, body = _ask(image, str(path), seconds, memory).partition(b"\n")
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


def _ask(image: bytes, name: str, seconds: float, memory: int) -> bytes:
    """The child's answer after `READY`."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")))
    )
    command = [sys.executable, "-m", "neurorobust.netx.child", name, str(memory)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as child:
        try:
            answer = _talk(child, image, seconds)
        except TimeoutError:
            raise ModelFileError(
                f"{name}: not read within {seconds:g} s, refused", DAMAGED
            ) from None
        finally:
            child.kill()
    if b"\n" not in answer:
        raise ModelFileError(
            f"{name}: the HDF5 library broke on it, or needed more than {memory >> 20} MB", DAMAGED
        )
    return answer


def _talk(child: subprocess.Popen[bytes], image: bytes, seconds: float) -> bytes:
    """Send the image, wait for `READY`, then for the answer until the pipe closes."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(image)
        child.stdin.close()
    except BrokenPipeError:
        return b""
    output = child.stdout.fileno()
    first = _some(output, time.monotonic() + START)
    if first[:1] != READY:
        return b""
    end, parts = time.monotonic() + seconds, [first[1:]]
    while part := _some(output, end):
        parts.append(part)
    return b"".join(parts)


def _some(output: int, end: float) -> bytes:
    """What the child wrote next; empty: it is gone."""
    ready, _, _ = select.select([output], [], [], max(0.0, end - time.monotonic()))
    if not ready:
        raise TimeoutError
    return os.read(output, 1 << 20)
