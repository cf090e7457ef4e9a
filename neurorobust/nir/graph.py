"""Read a `.nir` graph: one chain from input to output, of what the chip's neurons can be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from neurorobust.errors import ModelFileError, UnavailableError
from neurorobust.netx.image import MAX_FILE_BYTES, one_line
from neurorobust.netx.model import Pair, Shape
from neurorobust.nir.layers import FloatLayer, Floats, Synapses
from neurorobust.nir.pooling import Pool, pooled_conv, pooled_dense, pooling_layer

SYNAPSES = ("Affine", "Linear", "Conv2d")
NEURONS = ("LIF", "CubaLIF", "IF", "LI")
KNOWN = ("Input", *SYNAPSES, "Flatten", "SumPool2d", *NEURONS, "Output")


def read_graph(path: str | Path, dt: float) -> tuple[Shape, tuple[FloatLayer, ...]]:
    """What a graph computes, in steps of `dt`.

    Args:
        path: the `.nir` file.
        dt: seconds a step (in the unit of the graph's time constants).

    Returns:
        C, H, W of the input, and the layers in order.

    Raises:
        UnavailableError: the package `nir` is not installed.
        ModelFileError: damaged, or a node (named) that is out of scope.
    """
    if not 0 < dt < float("inf"):
        raise ModelFileError(f"{path}: dt {dt} is not above 0")
    graph = _load(Path(path))
    return _Walk(str(path), graph, dt).walk()


def _load(path: Path) -> Any:
    try:
        import nir
    except ImportError:
        raise UnavailableError("NIR graphs: nir is not installed; pip install nir") from None
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ModelFileError(f"{path}: {path.stat().st_size} bytes, limit {MAX_FILE_BYTES}")
    try:
        return nir.read(path, type_check=False)
    except Exception as error:  # whatever h5py and nir make of a stranger's file
        raise ModelFileError(f"{path}: no NIR graph ({one_line(error)})") from error


class _Walk:
    """Along the chain; remembers what has no neuron yet."""

    def __init__(self, path: str, graph: Any, dt: float) -> None:
        self.path, self.graph, self.dt = path, graph, dt
        self.pool: Pool | None = None
        self.synapses: Synapses | None = None
        self.flat = False
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
        raise ModelFileError(f"{self.path}: node {one_line(ascii(name))}: {problem}")

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
        entries = tuple(int(size) for size in np.asarray(stated).reshape(-1))
        if not 1 <= len(entries) <= 3 or min(entries) < 1:
            self._fail(name, f"shape {entries}, need (F,), (H, W) or (C, H, W)")
        if len(entries) == 1:
            return entries[0], 1, 1
        channels, height, width = (1, *entries)[-3:]
        return channels, height, width

    def _synapses(self, name: str, node: Any, kind: str) -> None:
        if self.synapses is not None:
            self._fail(name, f"follows {self.synapses.name!a} without neurons between")
        weight = self._finite(name, "weight", node.weight)
        bias = getattr(node, "bias", None)
        made = Synapses(
            name,
            weight,
            np.zeros(len(weight))
            if bias is None
            else np.broadcast_to(self._finite(name, "bias", bias).reshape(-1), (len(weight),)),
        )
        if kind == "Conv2d":
            made = self._conv(name, node, made)
            if made.weight.shape[1] * made.groups != self.shape[0] or self.flat:
                self._fail(name, f"kernels {made.weight.shape} do not fit {self.shape} (C, H, W)")
            made = made if self.pool is None else pooled_conv(made, self.pool, self.shape)
        else:
            pooled = self.shape if self.pool is None else self.pool.output(self.shape)
            if weight.ndim != 2 or weight.shape[1] != int(np.prod(pooled)):
                self._fail(
                    name, f"weight {weight.shape} does not fit {int(np.prod(pooled))} inputs"
                )
            made = made if self.pool is None else pooled_dense(made, self.pool, self.shape)
        self.pool, self.synapses = None, made

    def _conv(self, name: str, node: Any, made: Synapses) -> Synapses:
        if made.weight.ndim != 4:
            self._fail(name, f"weight {made.weight.shape}, need (out, in / groups, kH, kW)")
        stride, dilation = _pair(node.stride), _pair(node.dilation)
        if isinstance(node.padding, str):
            reach = [d * (k - 1) for d, k in zip(dilation, made.weight.shape[2:], strict=True)]
            even = node.padding == "same" and stride == (1, 1) and not any(r % 2 for r in reach)
            if node.padding != "valid" and not even:
                self._fail(name, f"padding {node.padding!a} with this kernel and stride")
            padding = (reach[0] // 2, reach[1] // 2) if even else (0, 0)
        else:
            padding = _pair(node.padding)
        return replace(
            made, stride=stride, padding=padding, dilation=dilation, groups=int(node.groups)
        )

    def _pool(self, name: str, node: Any) -> None:
        if self.synapses is not None or self.pool is not None or self.flat:
            self._fail(name, "pools something else than spikes of a map")
        self.pool = Pool(name, _pair(node.kernel_size), _pair(node.stride), _pair(node.padding))

    def _flatten(self, name: str) -> None:
        if self.synapses is not None:
            self._fail(name, f"follows {self.synapses.name!a} without neurons between")
        self.flat = True

    def _neurons(self, name: str, node: Any, kind: str) -> None:
        if self.synapses is None and self.pool is not None:
            self.synapses = pooling_layer(self.pool, self.shape[0])
            self.pool = None
        if self.synapses is None:
            self._fail(name, f"{kind} without synapses before it")
        shape = self.synapses.output(self.shape)
        reset = getattr(node, "v_reset", None)
        if reset is not None and np.any(reset):
            self._fail(name, "v_reset is not 0, the chip resets to 0")
        one = np.ones(1)
        gain = self._parameter(name, node, "r", shape)
        keep_u, keep_v, leak = 0 * one, one, 0 * one
        if kind == "IF":
            gain = gain * self.dt
        else:
            rate = self._rate(name, node, "tau" if kind in ("LIF", "LI") else "tau_mem", shape)
            keep_v, gain = 1 - rate, gain * rate
            leak = rate * self._parameter(name, node, "v_leak", shape)
        bias = gain * self.synapses.bias
        if kind == "CubaLIF":
            rate = self._rate(name, node, "tau_syn", shape)
            keep_u = 1 - rate
            gain = gain * rate * self._parameter(name, node, "w_in", shape)
            if np.any(bias) and np.any(keep_u):
                self._fail(
                    self.synapses.name,
                    "a bias through a synaptic current; the chip adds biases to the voltage",
                )
        threshold = np.full(1, np.inf)
        if kind != "LI":
            threshold = self._parameter(name, node, "v_threshold", shape)
            if threshold.min() <= 0:
                self._fail(name, f"v_threshold {threshold.min():g} is not above 0")
        self._layer(f"{self.synapses.name} -> {name}", shape, gain, keep_u, keep_v,
                    np.broadcast_to(bias + leak, (shape[0],)), threshold)  # fmt: skip

    def _layer(
        self, name: str, shape: Shape, gain: Floats, keep_u: Floats, keep_v: Floats,
        bias: Floats, threshold: Floats,
    ) -> None:  # fmt: skip
        assert self.synapses is not None
        layer = FloatLayer(name, self.synapses, shape, gain, keep_u, keep_v, bias, threshold)
        self.layers.append(layer)
        self.shape, self.synapses, self.flat = shape, None, False

    def _end(self, name: str) -> None:
        """A last matrix without neurons is read out: it adds up what comes."""
        if self.pool is not None:
            self._fail(self.pool.name, "no neurons behind it")
        if self.synapses is not None:
            if not self.synapses.dense:
                self._fail(self.synapses.name, "a last convolution needs neurons")
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
        array = array.astype(np.float64)
        if not np.isfinite(array).all():
            self._fail(name, f"{field} {array[~np.isfinite(array)][0]} is not finite")
        return array


def _pair(value: Any) -> Pair:
    entries = [int(entry) for entry in np.asarray(value).reshape(-1)]
    return entries[0], entries[-1]
