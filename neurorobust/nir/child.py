"""The program of `guarded`: reads the bytes of one `.nir` file, answers with its layers.

stdin: the bytes. stdout: `READY` once the limits stand, then a line of JSON, `{"error": ...}` where
the graph is refused, or what `transfer.pack` writes. It is started by `isolated.ask` only.
"""

from __future__ import annotations

import json
import sys

from neurorobust.errors import ModelFileError
from neurorobust.netx.image import one_line
from neurorobust.netx.isolated import begin
from neurorobust.nir.graph import walk
from neurorobust.nir.load import load_graph
from neurorobust.nir.transfer import pack


def main(name: str, memory: str, dt: str) -> None:
    """Answer one question.

    Args:
        name: what messages call the file.
        memory: bytes of address space.
        dt: of a step.
    """
    image = begin(int(memory))
    try:
        answer = pack(*walk(load_graph(image, name), name, float(dt)))
    except ModelFileError as refusal:
        answer = _refused(str(refusal))
    except MemoryError:
        answer = _refused(f"{name}: needs more than {int(memory) >> 20} MB")
    except Exception as error:  # whatever nir and numpy make of a stranger's numbers
        answer = _refused(f"{name}: no NIR graph ({type(error).__name__}: {one_line(error)})")
    sys.stdout.buffer.write(answer)


def _refused(message: str) -> bytes:
    return json.dumps({"error": message}).encode() + b"\n"
