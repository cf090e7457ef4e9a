"""Every rule that a file breaks, layer by layer, where `read` stops at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np

from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import DELAY_MAX
from neurorobust.netx.fields import finite, known
from neurorobust.netx.hdf5 import MAX_MEMBERS, Group, opened
from neurorobust.netx.layers import read_layer
from neurorobust.netx.read import ROOT_FIELDS, parse
from neurorobust.netx.rules import DELAY_CHANGED, IGNORED, Finding


def inspect(image: bytes, name: str) -> list[Finding]:
    """What is wrong with a file held in memory: what `read` refuses, and what Lava drops.

    Args:
        image: the file's bytes.
        name: what messages call it.
    """
    found: list[Finding] = []
    try:
        with opened(image, name) as root:
            _try(found, name, lambda: known(root, ROOT_FIELDS))
            layers = root.group("layer")
            names = set(layers.names())
            for number in range(MAX_MEMBERS):
                if str(number) in names:
                    _layer(found, name, layers, number)
    except ModelFileError as error:
        found.append(_finding(error, name))
    if not found or all(finding.code in (DELAY_CHANGED, IGNORED) for finding in found):
        try:
            parse(image, name)  # how layers follow each other
        except ModelFileError as error:
            found.append(_finding(error, name))
    return found


def _layer(found: list[Finding], name: str, layers: Group, number: int) -> None:
    try:
        group = layers.group(str(number)).named(f"{name}: layer {number}")
        layer = read_layer(group, number)
    except ModelFileError as error:
        found.append(_finding(error, name))
        return
    place = f"layer {number} ({layer.kind})"
    with suppress(ModelFileError):
        found += [Finding(DELAY_CHANGED, place, text) for text in _delays(group)]
        found += [Finding(IGNORED, place, text) for text in _ignored(group)]


def _delays(group: Group) -> Iterator[str]:
    if "delay" not in group.names():
        return
    values = finite(group, "delay")
    if values.max() > DELAY_MAX:
        yield f"delay {values.max():g} above {DELAY_MAX}: becomes {DELAY_MAX}"
    fractions = values[values != np.floor(values)]
    if fractions.size:
        yield f"delay {fractions.flat[0]:g} is floored to {np.floor(fractions.flat[0]):g}"


def _ignored(group: Group) -> Iterator[str]:
    if "neuron" not in group.names():
        return
    neuron = group.group("neuron")
    if "refDelay" in neuron.names() and finite(neuron, "refDelay").max() > 1:
        longest = finite(neuron, "refDelay").max()
        yield f"neuron/refDelay {longest:g} above 1 has no effect: neurons may spike at every step"


def _try(found: list[Finding], name: str, step: Callable[[], None]) -> None:
    try:
        step()
    except ModelFileError as error:
        found.append(_finding(error, name))


def _finding(error: ModelFileError, name: str) -> Finding:
    """`x.net: layer 3 (dense): what` -> its parts."""
    text = str(error).removeprefix(f"{name}: ")
    place, colon, rest = text.partition(": ")
    if colon and place.startswith("layer "):
        return Finding(error.rule, place, rest)
    return Finding(error.rule, "", text)
