"""A child process for bytes that are not ours: isolated, with limits on time and memory.

Isolated means that the child imports nothing from the caller's folder. Python runs with `-I` (no
current folder, no `PYTHONPATH`, no user site) from the root folder, takes *this* package by its
path, so that a source tree or an editable install works too, and finds a few named libraries where
this process finds them. HDF5 loads no plugins.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from neurorobust.errors import ModelFileError
from neurorobust.netx.rules import DAMAGED

READY = b"R"  # what a child writes once it has the bytes and the limits stand
START = 60.0  # seconds that the interpreter may take to start, on a busy machine
PROGRAM = """
import importlib, importlib.util, json, os, sys
package, libraries, program = sys.argv[1:4]
sys.path += [folder for folder in json.loads(libraries) if folder not in sys.path]
spec = importlib.util.spec_from_file_location(
    "neurorobust", os.path.join(package, "__init__.py"), submodule_search_locations=[package]
)
sys.modules["neurorobust"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["neurorobust"])
importlib.import_module(program).main(*sys.argv[4:])
"""

_PACKAGE = Path(__file__).resolve().parents[1]


def limit_memory(limit: int) -> None:
    """Let this process have no more than `limit` bytes of address space (POSIX)."""
    try:
        import resource
    except ImportError:  # Windows: the time limit alone stands
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def begin(memory: int) -> bytes:
    """In the child: take the bytes from stdin, set the limit, say `READY`."""
    image = sys.stdin.buffer.read()
    limit_memory(memory)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    return image


def ask(
    program: str,
    arguments: list[str],
    image: bytes,
    name: str,
    seconds: float,
    memory: int,
    libraries: tuple[str, ...] = ("numpy", "h5py"),
) -> bytes:
    """What a child answers to a file's bytes, after `READY`.

    Args:
        program: a module of this package with `main(*arguments)`, which calls `begin`.
        arguments: for it, as text.
        image: what it reads from stdin.
        name: of the file, for messages.
        seconds: from the moment that the child has the bytes.
        memory: bytes of address space that the child limits itself to.
        libraries: top-level modules outside the standard library that the child imports.

    Raises:
        ModelFileError: a limit was exceeded, or the child crashed.
    """
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["HDF5_PLUGIN_PRELOAD"] = "::"  # HDF5's word for: no plugins
    with subprocess.Popen(
        [sys.executable, "-I", "-c", PROGRAM, str(_PACKAGE), json.dumps(_folders(libraries)),
         program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=_PACKAGE.anchor,
    ) as child:  # fmt: skip
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


def _folders(libraries: tuple[str, ...]) -> list[str]:
    """Where this process finds libraries, the current folder left out."""
    found = []
    for library in libraries:
        spec = importlib.util.find_spec(library)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).resolve().parents[1]
            if folder != Path.cwd() and str(folder) not in found:
                found.append(str(folder))
    return found


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
