"""The same inputs through two backends: identical, or the first place where they differ."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neurorobust.backends.base import ALIGNED, Backend, Clock
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel
from neurorobust.records import ParityResult
from neurorobust.types import Inputs, LayerTrace

VARIABLES = ("spikes", "u", "v")
CHUNK = 64  # samples traced at a time


@dataclass(frozen=True, order=True)
class Difference:
    """Where two backends differ; sorts by layer (its place among those compared) and step first."""

    place: int
    step: int
    sample: int
    neuron: int
    variable: int
    one: int
    other: int


def parity(
    first: Backend,
    second: Backend,
    inputs: Inputs | Tensor,
    layers: Collection[int] | None = None,
    variables: Collection[str] = ("spikes",),
    clock: Clock = ALIGNED,
) -> ParityResult:
    """Compare two backends bit for bit, layer by layer.

    The first difference is the one in the lowest layer, there the earliest step, then the lowest
    sample and neuron: what is wrong upstream is named, not what it caused downstream.

    Args:
        first: a target.
        second: another, bound to a network with the same layers; neither is taken to be right.
        inputs: at least one sample.
        layers: numbers (in the file) of the layers compared; None: every layer that computes.
        variables: of `spikes`, `u`, `v`; the last two are Lava's after the step (v is 0 where the
            neuron spiked), compared at every neuron and step.
        clock: `aligned` or `global`, for both.

    Raises:
        BadInput: no sample, an unknown variable or layer, networks of different layers, or values
            that are not integers (SLAYER before rounding has no integer u and v).
        BackendError: a backend failed.

    Example:
        >>> from neurorobust import netx
        >>> from neurorobust.backends.engine import EngineBackend
        >>> from neurorobust.backends.reference.backend import ReferenceBackend
        >>> model = netx.read("model.net")
        >>> parity(EngineBackend(model), ReferenceBackend(model), spikes).identical
        True
    """
    inputs = Inputs.of(inputs)
    numbers = _layers(first.model, second.model, inputs, layers)
    names = tuple(variables)
    for name in names:
        if name not in VARIABLES:
            raise BadInput(f"parity: variable {name!r} unknown, known: {', '.join(VARIABLES)}")
    if not names or not numbers or len(inputs) == 0:
        raise BadInput(
            f"parity: {len(inputs)} samples, {len(numbers)} layers and {len(names)} variables, "
            "need at least one of each"
        )
    found: list[Difference] = []
    for start in range(0, len(inputs), CHUNK):
        part = inputs[start : start + CHUNK]
        one, other = first.run(part, numbers, clock).layers, second.run(part, numbers, clock).layers
        for place, number in enumerate(numbers):
            here = [
                difference
                for kind in range(len(names))
                for difference in _first(one[number], other[number], names, kind, place, number)
            ]
            if here:
                earliest = min(here)
                found.append(replace(earliest, sample=start + earliest.sample))
                break  # what differs further on in this chunk may be its consequence
    return ParityResult(
        first=first.name,
        second=second.name,
        samples=len(inputs),
        layers=numbers,
        variables=names,
        identical=not found,
        first_difference=_sentence(min(found), first, second, numbers, names) if found else None,
        clock=clock,
    )


def _layers(
    first: NetxModel, second: NetxModel, inputs: Inputs, wanted: Collection[int] | None
) -> tuple[int, ...]:
    ours, theirs = (
        [(layer.number, layer.kind, layer.shape) for layer in model.spiking_layers]
        for model in (first, second)
    )
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            raise BadInput(
                f"parity: layers differ, {_layer_name(one)} against {_layer_name(other)}"
            )
    if len(ours) != len(theirs):
        raise BadInput(f"parity: {len(ours)} layers with neurons against {len(theirs)}")
    known = [layer.number for layer in first.running_layers(inputs.driven)]
    for number in wanted or ():
        if number not in known:
            raise BadInput(f"parity: layer {number} does not compute here, layers that do: {known}")
    return tuple(number for number in known if wanted is None or number in wanted)


def _layer_name(layer: tuple[int, str, tuple[int, int, int]]) -> str:
    number, kind, shape = layer
    return f"layer {number} ({kind}) {shape}"


def _first(
    one: LayerTrace, other: LayerTrace, names: tuple[str, ...], kind: int, place: int, number: int
) -> list[Difference]:
    """The first difference of one variable in one layer, if there is any."""
    left, right = (_integers(trace, number, names[kind]) for trace in (one, other))
    if left.shape != right.shape:
        shapes = f"{tuple(left.shape)} against {tuple(right.shape)}"
        raise BadInput(f"parity: layer {number}: {names[kind]} {shapes}")
    places = torch.nonzero((left != right).permute(2, 0, 1))  # sorted: step, sample, neuron
    if len(places) == 0:
        return []
    step, sample, neuron = (int(index) for index in places[0])
    values = (int(side[sample, neuron, step]) for side in (left, right))
    return [Difference(place, step, sample, neuron, kind, *values)]


def _integers(trace: LayerTrace, number: int, name: str) -> Tensor:
    values: Tensor = getattr(trace, name)
    if values.is_floating_point():
        raise BadInput(f"parity: layer {number}: {name} is {values.dtype}, only integers compare")
    return values.cpu().to(torch.int64)


def _sentence(
    difference: Difference,
    first: Backend,
    second: Backend,
    numbers: tuple[int, ...],
    names: tuple[str, ...],
) -> str:
    number = numbers[difference.place]
    labels = [first.name, second.name]
    if first.name == second.name:
        labels = [f"first {first.name}", f"second {second.name}"]
    return (
        f"layer {number} ({first.model.layers[number].kind}), sample {difference.sample}, "
        f"neuron {difference.neuron}, step {difference.step}: {names[difference.variable]} "
        f"{difference.one} ({labels[0]}) against {difference.other} ({labels[1]})"
    )
