"""The program of `guarded`: reads the bytes of one `.net` file, answers with a model.

stdin: the bytes. stdout: `READY` once the limits stand, then a line of JSON

    {"error": ..., "rule": ..., "findings": [[code, place, message], ...]}

(`error` null where it reads), and then the same network as our own writer writes it. It is started
by `isolated.ask` only.
"""

from __future__ import annotations

import json
import sys

from neurorobust.errors import ModelFileError
from neurorobust.netx.inspect import inspect
from neurorobust.netx.isolated import begin
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise


def main(name: str, memory: str) -> None:
    """Answer one question.

    Args:
        name: what messages call the file.
        memory: bytes of address space.
    """
    image = begin(int(memory))
    error, rule, model = None, "", b""
    try:
        model = serialise(parse(image, name))
    except ModelFileError as refusal:
        error, rule = str(refusal), refusal.rule
    found = [(one.code, one.place, one.message) for one in inspect(image, name)]
    header = json.dumps({"error": error, "rule": rule, "findings": found}).encode()
    sys.stdout.buffer.write(header + b"\n" + model)
