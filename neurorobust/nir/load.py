"""From the bytes of a `.nir` file to `nir`'s graph, after a look at all that it declares."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

from neurorobust.errors import ModelFileError
from neurorobust.netx.hdf5 import Group, opened
from neurorobust.netx.image import one_line, quoted
from neurorobust.netx.rules import HOSTILE
from neurorobust.nir.graph import KNOWN

MOST_BYTES = 128 << 20  # that all data of a graph may declare: 32 million float32 weights
SMALL_BYTES = 16 << 20  # that any graph may declare, however well it was compressed
RATIO = 100  # bytes declared a byte of the file, beyond that
FILTERS = frozenset({1, 2, 3, 32000})  # deflate, shuffle, fletcher32, lzf: what `nir.write` writes
MAX_DEPTH = 8  # of groups in groups


def load_graph(image: bytes, name: str) -> Any:
    """A `nir.NIRGraph`.

    Args:
        image: the file's bytes.
        name: what messages call the file.

    Raises:
        ModelFileError: damaged, links or data elsewhere, too much declared, or no graph of the
            installed `nir`.
    """
    total = min(MOST_BYTES, max(SMALL_BYTES, RATIO * len(image)))
    with opened(image, name, total, FILTERS) as root:
        _survey(root, 0)
        version = _version(root)
        _check_types(root, name)
    import nir

    try:
        graph = nir.read(io.BytesIO(image), type_check=False)
    except Exception as error:  # whatever h5py and nir make of a stranger's file
        if version not in (nir.version, ""):
            raise ModelFileError(
                f"{name}: written by nir {version}, which nir {nir.version} here does not read; "
                "read it there and write it again by the newer one "
                f"({type(error).__name__}: {one_line(error)})"
            ) from error
        raise ModelFileError(
            f"{name}: no NIR graph ({type(error).__name__}: {one_line(error)})"
        ) from error
    if not isinstance(graph, nir.NIRGraph):
        raise ModelFileError(f"{name}: holds a {type(graph).__name__} node, need a NIRGraph")
    return graph


def _survey(group: Group, depth: int) -> None:
    """Look at every group and dataset below `group` before any of their data is read."""
    if depth > MAX_DEPTH:
        group.fail(f"groups lie more than {MAX_DEPTH} deep", HOSTILE)
    for name in group.names():
        if group.is_group(name):
            _survey(group.group(name), depth + 1)
        else:
            group.declared(name)


def _check_types(root: Group, name: str) -> None:
    """Refuse nodes out of scope before `nir` meets them."""
    if "node" not in root.names():
        raise ModelFileError(f"{name}: no NIR graph: group 'node' missing")
    nodes = root.group("node").group("nodes")
    for node in nodes.names():
        kind = nodes.group(node).text("type")
        if kind not in KNOWN:
            raise ModelFileError(
                f"{name}: node {quoted(node)}: {one_line(kind, 30)} is out of scope, known: "
                f"{', '.join(KNOWN)}"
            )


def _version(root: Group) -> str:
    """Of the `nir` that wrote the file; "" where it does not say."""
    with suppress(ModelFileError):
        return one_line(root.text("version"), 20)
    return ""
