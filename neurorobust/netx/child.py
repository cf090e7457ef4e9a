"""`python -m neurorobust.netx.child NAME MEMORY`: reads one file's bytes, answers with a model.

stdin: the bytes of a `.net` file. stdout: `READY` once the limits stand, then `MODEL` and the same
network as our own writer writes it, or `REFUSED` and one line. See `guarded.py`.
"""

from __future__ import annotations

import sys

from neurorobust.errors import ModelFileError
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise

READY, MODEL, REFUSED = b"R", b"M", b"E"


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
    try:
        answer = MODEL + serialise(parse(image, name))
    except ModelFileError as error:
        answer = REFUSED + str(error).encode()
    sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
