"""`python -m neurorobust.netx.child NAME MEMORY`: reads one file's bytes, answers with a model.

stdin: the bytes of a `.net` file. stdout: `READY` once the limits stand, then a line of JSON

    {"error": ..., "rule": ..., "findings": [[code, place, message], ...]}

(`error` null where it reads), and then the same network as our own writer writes it. See
`guarded.py`.
"""

from __future__ import annotations

import json
import sys

from neurorobust.errors import ModelFileError
from neurorobust.netx.inspect import inspect
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise

READY = b"R"


def limit_memory(limit: int) -> None:
    """Let this process have no more than `limit` bytes of address space (POSIX)."""
    try:
        import resource
    except ImportError:  # Windows: the time limit alone stands
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(name: str, memory: int) -> None:
    """Answer one question."""
    image = sys.stdin.buffer.read()
    limit_memory(memory)
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    error, rule, model = None, "", b""
    try:
        model = serialise(parse(image, name))
    except ModelFileError as refusal:
        error, rule = str(refusal), refusal.rule
    found = [(one.code, one.place, one.message) for one in inspect(image, name)]
    header = json.dumps({"error": error, "rule": rule, "findings": found}).encode()
    sys.stdout.buffer.write(header + b"\n" + model)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
