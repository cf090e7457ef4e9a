"""Read a `.nir` file, which is not ours, in a child process with limits on time and memory."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from neurorobust.errors import ModelFileError, UnavailableError
from neurorobust.netx.image import check_signature, load
from neurorobust.netx.isolated import ask
from neurorobust.netx.model import Shape
from neurorobust.nir.layers import FloatLayer
from neurorobust.nir.transfer import unpack

SECONDS = 15.0  # from the moment that the child has the bytes
MEMORY = 900 << 20  # bytes of address space, the interpreter and numpy included


def read_graph(path: str | Path, dt: float) -> tuple[Shape, tuple[FloatLayer, ...]]:
    """What a graph computes, in steps of `dt`.

    Args:
        path: the `.nir` file.
        dt: time of a step, in the unit of the graph's time constants (seconds).

    Returns:
        C, H, W of the input, and the layers in order.

    Raises:
        UnavailableError: the package `nir` is not installed.
        ModelFileError: damaged, hostile, beyond a limit, or a node (named) that is out of scope.
    """
    if not 0 < dt < float("inf"):
        raise ModelFileError(f"{path}: dt {dt} is not above 0")
    if importlib.util.find_spec("nir") is None:
        raise UnavailableError("NIR graphs: nir is not installed; pip install nir")
    image, name = load(Path(path)), str(path)
    check_signature(image, name)
    answer = ask(
        "neurorobust.nir.child", [name, str(MEMORY), repr(float(dt))], image, name, SECONDS, MEMORY,
        libraries=("numpy", "h5py", "nir"),
    )  # fmt: skip
    error = json.loads(answer.partition(b"\n")[0])["error"]
    if error is not None:
        raise ModelFileError(error)
    return unpack(answer)
