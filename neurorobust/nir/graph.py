"""A NIR graph as float layers: one chain, from input to output, of neurons that the chip has."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from neurorobust.errors import ModelFileError
from neurorobust.netx.fields import INT8_MAX, MAX_NEURONS
from neurorobust.netx.image import one_line, quoted
from neurorobust.netx.model import Pair, Shape
from neurorobust.nir.layers import FloatLayer, Floats, Synapses
from neurorobust.nir.pooling import Pool, pooled_conv, pooled_dense, pooling_layer

SYNAPSES = ("Affine", "Linear", "Conv2d")
NEURONS = ("LIF", "CubaLIF", "IF", "LI")
KNOWN = ("Input", *SYNAPSES, "Flatten", "SumPool2d", *NEURONS, "Output")
LARGEST = 1e12  # that a spike or a bias may add in a step
MAX_WEIGHTS = 1 << 25  # of one layer, once pooling is part of it


def walk(graph: Any, path: str, dt: float) -> tuple[Shape, tuple[FloatLayer, ...]]:
    """What a graph computes, in steps of `dt`.

    Args:
        graph: a `nir.NIRGraph`.
        path: what messages call its file.
        dt: time of a step, in the unit of the graph's time constants (seconds).

    Returns:
        C, H, W of the input, and the layers in order.

    Raises:
        ModelFileError: a node (named) that is out of scope, or numbers beyond a limit.
    """
    return _Walk(path, graph, dt).walk()


def _label(name: str) -> str:
    """A node's name, safe to print and short."""
    return one_line(name, 60)


class _Walk:
    """Along the chain; remembers what has no neuron yet."""

    def __init__(self, path: str, graph: Any, dt: float) -> None:
        self.path, self.graph, self.dt = path, graph, dt
        self.pool: Pool | None = None
        self.synapses: Synapses | None = None
        self.flat: str | None = None  # the Flatten node that the spikes went through
        self.layers: list[FloatLayer] = []

    def walk(self) -> tuple[Shape, tuple[FloatLayer, ...]]:
        names = self._chain()
        first = self.graph.nodes[names[0]]
        self.shape = given = self._shape(names[0], first.input_type["input"])
        for name in names[1:-1]:
            node = self.graph.nodes[name]
            kind = type(node).__name__
            if kind in SYNAPSES:
                self._synapses(name, node, kind)
            elif kind == "SumPool2d":
                self._pool(name, node)
            elif kind == "Flatten":
                self._flatten(name)
            elif kind in NEURONS:
                self._neurons(name, node, kind)
            else:
                self._fail(name, f"{kind} is out of scope, known: {', '.join(KNOWN)}")
        self._end(names[-1])
        return given, tuple(self.layers)

    def _fail(self, name: str, problem: str) -> NoReturn:
        raise ModelFileError(f"{self.path}: node {quoted(name)}: {problem}")

    def _chain(self) -> list[str]:
        """The names from the input to the output."""
        after: dict[str, list[str]] = {name: [] for name in self.graph.nodes}
        before: dict[str, list[str]] = {name: [] for name in self.graph.nodes}
        for source, target in self.graph.edges:
            if source not in after or target not in before:
                self._fail(source if source not in after else target, "an edge to no node")
            after[source].append(target)
            before[target].append(source)
        starts = [name for name, node in self.graph.nodes.items() if type(node).__name__ == "Input"]
        if len(starts) != 1:
            raise ModelFileError(f"{self.path}: {len(starts)} Input nodes, need 1")
        names = [starts[0]]
        while type(self.graph.nodes[names[-1]]).__name__ != "Output":
            following = after[names[-1]]
            if len(following) != 1:
                self._fail(names[-1], f"{len(following)} nodes follow it, need 1 (one chain)")
            if following[0] in names or len(before[following[0]]) != 1:
                self._fail(following[0], "several edges lead to it (recurrent or merging graph)")
            names.append(following[0])
        unused = set(self.graph.nodes) - set(names)
        if unused:
            self._fail(min(unused), "not on the way from the input to the output")
        return names

    def _shape(self, name: str, stated: Any) -> Shape:
        entries = self._integers(name, "shape", stated, 1, MAX_NEURONS)
        if not 1 <= len(entries) <= 3:
            self._fail(name, f"a shape of {len(entries)} axes, need (F,), (H, W) or (C, H, W)")
        if math.prod(entries) > MAX_NEURONS:
            self._fail(name, f"shape {entries} means more than {MAX_NEURONS} neurons")
        if len(entries) == 1:
            return entries[0], 1, 1
        channels, height, width = (1, *entries)[-3:]
        return channels, height, width

    def _synapses(self, name: str, node: Any, kind: str) -> None:
        if self.synapses is not None:
            self._fail(name, f"follows {self.synapses.name!r} without neurons between")
        weight = self._finite(name, "weight", node.weight)
        if weight.ndim != (4 if kind == "Conv2d" else 2):
            axes = "(out, in / groups, kH, kW)" if kind == "Conv2d" else "(out, in)"
            self._fail(name, f"weight {weight.shape}, need {axes}")
        made = Synapses(_label(name), weight, self._bias(name, node, len(weight)))
        if kind == "Conv2d":
            if self.flat is not None:
                self._fail(
                    name,
                    f"Conv2d after Flatten {quoted(self.flat)}, behind which there are no height "
                    "and width; write the graph without that Flatten",
                )
            made = self._conv(name, node, made)
            if made.weight.shape[1] * made.groups != self.shape[0] or len(weight) % made.groups:
                self._fail(name, f"kernels {made.weight.shape} do not fit {self.shape} (C, H, W)")
            if self.pool is not None:
                taps = [
                    (size - 1) * dilation * stride + kernel
                    for size, dilation, stride, kernel in zip(
                        weight.shape[2:], made.dilation, self.pool.stride, self.pool.kernel,
                        strict=True,
                    )
                ]  # fmt: skip
                self._most(name, math.prod(weight.shape[:2]) * math.prod(taps))
                made = pooled_conv(made, self.pool, self.shape)
        else:
            inputs = math.prod(self.shape if self.pool is None else self.pool.output(self.shape))
            if weight.shape[1] != inputs:
                self._fail(name, f"weight {weight.shape} does not fit {inputs} inputs")
            if self.pool is not None:
                self._most(name, len(weight) * math.prod(self.shape))
                made = pooled_dense(made, self.pool, self.shape)
        shape = made.output(self.shape)
        if min(shape) < 1 or math.prod(shape) > MAX_NEURONS:
            self._fail(name, f"gives {shape} (C, H, W) for {self.shape}")
        self.pool, self.synapses = None, made

    def _bias(self, name: str, node: Any, outputs: int) -> Floats:
        bias = getattr(node, "bias", None)
        if bias is None:
            return np.zeros(outputs)
        values = self._finite(name, "bias", bias).reshape(-1)
        if values.size not in (1, outputs):
            self._fail(name, f"bias has {values.size} entries, need {outputs}")
        return np.broadcast_to(values, (outputs,))

    def _most(self, name: str, weights: int) -> None:
        if weights > MAX_WEIGHTS:
            self._fail(name, f"{weights} weights with the pooling before it, limit {MAX_WEIGHTS}")

    def _conv(self, name: str, node: Any, made: Synapses) -> Synapses:
        stride = self._pair(name, "stride", node.stride, 1)
        dilation = self._pair(name, "dilation", node.dilation, 1)
        if isinstance(node.padding, str):
            reach = [d * (k - 1) for d, k in zip(dilation, made.weight.shape[2:], strict=True)]
            even = node.padding == "same" and stride == (1, 1) and not any(r % 2 for r in reach)
            if node.padding != "valid" and not even:
                self._fail(name, f"padding {quoted(node.padding)} with this kernel and stride")
            padding = (reach[0] // 2, reach[1] // 2) if even else (0, 0)
        else:
            padding = self._pair(name, "padding", node.padding, 0)
        groups = self._integers(name, "groups", node.groups, 1, INT8_MAX)
        if len(groups) != 1:
            self._fail(name, f"groups holds {len(groups)} numbers, need 1")
        return replace(made, stride=stride, padding=padding, dilation=dilation, groups=groups[0])

    def _pool(self, name: str, node: Any) -> None:
        if self.synapses is not None or self.pool is not None or self.flat is not None:
            self._fail(name, "pools something else than spikes of a map")
        self.pool = Pool(
            _label(name),
            self._pair(name, "kernel_size", node.kernel_size, 1),
            self._pair(name, "stride", node.stride, 1),
            self._pair(name, "padding", node.padding, 0),
        )
        pooled = self.pool.output(self.shape)
        if min(pooled) < 1:
            self._fail(name, f"gives {pooled} (C, H, W) for {self.shape}")

    def _flatten(self, name: str) -> None:
        if self.synapses is not None:
            self._fail(name, f"follows {self.synapses.name!r} without neurons between")
        self.flat = name

    def _neurons(self, name: str, node: Any, kind: str) -> None:
        if self.synapses is None and self.pool is not None:
            self._most(name, self.shape[0] * math.prod(self.pool.kernel))
            self.synapses = pooling_layer(self.pool, self.shape[0])
            self.pool = None
        if self.synapses is None:
            self._fail(name, f"{kind} without synapses before it")
        shape = self.synapses.output(self.shape)
        reset = getattr(node, "v_reset", None)
        if reset is not None and np.any(self._finite(name, "v_reset", reset)):
            self._fail(name, "v_reset is not 0, the chip resets to 0")
        one = np.ones(1)
        gain = self._parameter(name, node, "r", shape)
        keep_u, keep_v, leak = 0 * one, one, 0 * one
        if kind != "IF":  # an IF adds r a spike, however long a step is: see layers.py
            rate = self._rate(name, node, "tau" if kind in ("LIF", "LI") else "tau_mem", shape)
            keep_v, gain = 1 - rate, gain * rate
            leak = rate * self._parameter(name, node, "v_leak", shape)
        bias = gain * self.synapses.bias
        if kind == "CubaLIF":
            rate = self._rate(name, node, "tau_syn", shape)
            keep_u = 1 - rate
            gain = gain * rate * self._parameter(name, node, "w_in", shape)
            if np.any(bias) and np.any(keep_u):
                raise ModelFileError(
                    f"{self.path}: node {self.synapses.name!r}: a bias through a synaptic current; "
                    "the chip adds biases to the voltage"
                )
        threshold = np.full(1, np.inf)
        if kind != "LI":
            threshold = self._parameter(name, node, "v_threshold", shape)
            if threshold.min() <= 0:
                self._fail(name, f"v_threshold {threshold.min():g} is not above 0")
        self._layer(f"{self.synapses.name} -> {_label(name)}", shape, gain, keep_u, keep_v,
                    np.broadcast_to(bias + leak, (shape[0],)), threshold)  # fmt: skip

    def _layer(
        self, name: str, shape: Shape, gain: Floats, keep_u: Floats, keep_v: Floats,
        bias: Floats, threshold: Floats,
    ) -> None:  # fmt: skip
        assert self.synapses is not None
        layer = FloatLayer(name, self.synapses, shape, gain, keep_u, keep_v, bias, threshold)
        largest = max(float(np.abs(values).max()) for values in (layer.weight, bias))
        if not largest < LARGEST:
            raise ModelFileError(
                f"{self.path}: nodes {name}: a step adds up to {largest:.3g}, limit {LARGEST:g}"
            )
        self.layers.append(layer)
        self.shape, self.synapses, self.flat = shape, None, None

    def _end(self, name: str) -> None:
        """A last matrix without neurons is read out: it adds up what comes."""
        if self.pool is not None:
            raise ModelFileError(f"{self.path}: node {self.pool.name!r}: no neurons behind it")
        if self.synapses is not None:
            if not self.synapses.dense:
                raise ModelFileError(
                    f"{self.path}: node {self.synapses.name!r}: a last convolution needs neurons"
                )
            shape, one = self.synapses.output(self.shape), np.ones(1)
            self._layer(self.synapses.name, shape, one, 0 * one, one, self.synapses.bias,
                        np.full(1, np.inf))  # fmt: skip
        if not self.layers:
            self._fail(name, "nothing between input and output")

    def _rate(self, name: str, node: Any, field: str, shape: Shape) -> Floats:
        """`dt / tau`."""
        tau = self._parameter(name, node, field, shape)
        if tau.min() < self.dt:
            self._fail(name, f"{field} {tau.min():g} below dt {self.dt:g}")
        return self.dt / tau

    def _parameter(self, name: str, node: Any, field: str, shape: Shape) -> Floats:
        """`[1]` or `[C]`."""
        values = self._finite(name, field, getattr(node, field))
        if values.size == 1:
            return values.reshape(1)
        if values.size == shape[0] and shape[1:] != (1, 1) and values.ndim > 1:
            values = values.reshape(-1)
        if values.size != shape[0]:
            try:
                maps = np.broadcast_to(values, shape).reshape(shape[0], -1)
            except ValueError:
                self._fail(name, f"{field} has shape {values.shape}, its neurons {shape}")
            if (maps != maps[:, :1]).any():
                self._fail(name, f"{field} differs inside a channel, the chip has one a channel")
            values = maps[:, 0]
        values = values.reshape(-1)
        return values[:1] if (values == values[0]).all() else values

    def _finite(self, name: str, field: str, values: Any) -> Floats:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf" or array.size == 0:
            self._fail(name, f"{field} holds no numbers")
        with np.errstate(over="ignore"):
            array = array.astype(np.float64)
        if not np.isfinite(array).all():
            self._fail(name, f"{field} {array[~np.isfinite(array)][0]} is not finite")
        return array

    def _integers(self, name: str, field: str, values: Any, low: int, high: int) -> tuple[int, ...]:
        array = np.asarray(values)
        if array.dtype.kind not in "iu" or array.size == 0:
            self._fail(name, f"{field} holds no whole numbers")
        outside = array[(array < low) | (array > high)]
        if outside.size:
            self._fail(name, f"{field} {outside.flat[0]} outside [{low}, {high}]")
        return tuple(int(value) for value in array.reshape(-1))

    def _pair(self, name: str, field: str, values: Any, low: int) -> Pair:
        """(H, W), from one number or two; the file that is written holds at most 127."""
        entries = self._integers(name, field, values, low, INT8_MAX)
        if len(entries) > 2:
            self._fail(name, f"{field} holds {len(entries)} numbers, need 1 or 2")
        return entries[0], entries[-1]
