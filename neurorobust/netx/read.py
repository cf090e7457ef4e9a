"""Read a NetX HDF5 file (`.net`) into a `NetxModel`, or say in one line why not."""

from __future__ import annotations

from pathlib import Path

from neurorobust.netx.chain import check_chain
from neurorobust.netx.fields import known
from neurorobust.netx.hdf5 import Group, opened
from neurorobust.netx.image import digest, load, quoted
from neurorobust.netx.layers import read_layer
from neurorobust.netx.model import Layer, NetxModel
from neurorobust.netx.rules import LAYERS

ROOT_FIELDS = frozenset({"layer", "simulation"})  # `simulation` is written by lava-dl, read by none


def read(path: str | Path) -> NetxModel:
    """Read a `.net` file.

    Nothing is dropped in silence: types, fields and values that Lava ignores, drops or changes are
    refused unless they are harmless (docs/netx_format.md lists them).

    Args:
        path: the file; its name stands at the head of every message.

    Raises:
        ModelFileError: missing, damaged, hostile, or holding what no backend here computes.

    Example:
        >>> model = read("model.net")
        >>> model.input_shape, len(model.layers)
        ((16, 1, 1), 2)
    """
    return parse(load(Path(path)), str(path))


def parse(image: bytes, name: str) -> NetxModel:
    """`read` for a file held in memory, called `name`."""
    with opened(image, name) as root:
        known(root, ROOT_FIELDS)
        layers = _layers(root)
    return NetxModel(check_chain(layers, name), layers, sha256=digest(image), path=name)


def _layers(root: Group) -> tuple[Layer, ...]:
    group = root.group("layer")
    names = set(group.names())
    if not names:
        root.fail("layer holds no layers", LAYERS)
    for number in range(len(names)):
        if str(number) not in names:
            strays = sorted(names - {str(n) for n in range(len(names))})
            root.fail(f"layer {number} missing, found {quoted(strays[0])} instead", LAYERS)
    return tuple(
        read_layer(group.group(str(number)).named(f"{root.where}: layer {number}"), number)
        for number in range(len(names))
    )
