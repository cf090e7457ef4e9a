"""Lava's own process models, run without Lava's runtime: the truth that backends are held to.

NetX builds the processes from a `.net` file; each process's fixed-point model class is then filled
in as Lava's `py_builder.py` does it and stepped by hand, one layer after the other over all steps.
"""

from __future__ import annotations

import itertools
import math
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import strategies as st

import neurorobust
from neurorobust.backends.engine import int8
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    Layer,
    NetxModel,
    Neuron,
    RecurrentLayer,
    Shape,
)
from neurorobust.netx.write import serialise
from neurorobust.types import Inputs, LayerTrace

Array = npt.NDArray[np.integer[Any]]
Oracle = Callable[..., dict[int, LayerTrace]]


@pytest.fixture(scope="session")
def lava_oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """Every spiking layer's spikes, u and v as Lava's models compute them, on either clock.

    `lava_oracle(model, inputs)`, or `lava_oracle(model, inputs, image)` with the bytes of a `.net`
    file of these layers. Keys are the layers' numbers in the file, without the input layer where
    spikes are given. Nothing is checked on the way: what Lava cannot run raises what Lava raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("lava.lib.dl.netx", reason="needs Lava")
    folder, count = tmp_path_factory.mktemp("oracle"), itertools.count()

    def run(
        model: NetxModel, inputs: Inputs, image: bytes | None = None, clock: str = "aligned"
    ) -> dict[int, LayerTrace]:
        path = folder / f"{next(count)}.net"  # NetX keeps a file open when it raises
        path.write_bytes(serialise(model) if image is None else image)
        try:
            return _run(model, inputs, path, clock)
        finally:
            path.unlink()

    return run


@pytest.fixture(scope="session")
def tiny_networks() -> st.SearchStrategy[tuple[NetxModel, Inputs]]:
    """Random small networks with inputs that fit them, the rules' borders among them."""
    return _networks()


@pytest.fixture(scope="session")
def recurrent_networks() -> st.SearchStrategy[tuple[NetxModel, Inputs]]:
    """Random small networks with at least one recurrent layer, and inputs that fit them."""
    return _networks(recurrent=True)


def _run(
    model: NetxModel, inputs: Inputs | torch.Tensor, path: Path, clock: str = "aligned"
) -> dict[int, LayerTrace]:
    inputs = Inputs.of(inputs)
    blocks = _build(model, inputs, path)
    layers = [layer for layer in model.spiking_layers if layer.number in blocks]
    traces: dict[int, list[LayerTrace]] = {layer.number: [] for layer in layers}
    for sample in range(len(inputs)):
        signal = None if inputs.driven else inputs.values[sample].numpy()
        for layer in layers:
            block = blocks[layer.number]
            if signal is None:
                drive = inputs.values[sample].numpy()
                states = _step_input(block, _to_lava(drive, block.neuron.a_in.shape), inputs.steps)
            else:
                states = _step(block, signal, clock)
            trace = [_from_lava(state, layer.shape) for state in states]
            signal = trace[0].reshape(*layer.shape, -1)
            traces[layer.number].append(_as_trace(trace))
    return {number: _stack(samples) for number, samples in traces.items()}


def _build(model: NetxModel, inputs: Inputs, path: Path) -> dict[int, Any]:
    """NetX's blocks by the layer's number in the file."""
    from lava.lib.dl.netx import hdf5

    skipped = model.input_layer is not None and not inputs.driven
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 127 / 0 while it looks for a scale
        network = hdf5.Network(
            net_config=str(path),
            skip_layers=1 if skipped else 0,
            input_shape=model.input_shape[::-1],
        )
    network.net_config.f.close()
    layers = model.running_layers(inputs.driven)
    assert len(layers) == len(network.layers)
    return {layer.number: block for layer, block in zip(layers, network.layers, strict=True)}


class _Port:
    """A port with one peer: what was sent last is what is received."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.dtype = dtype
        self.data = np.zeros(shape, dtype)

    def send(self, data: Array) -> None:
        self.data = np.asarray(data).astype(self.dtype)

    def recv(self) -> Array:
        return self.data


def _instantiate(process: Any) -> Any:
    """The process's fixed-point model with its variables, as Lava's `PyProcessBuilder` fills it."""
    from lava.proc.conv.models import PyConvModelFixed
    from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc
    from lava.proc.lif.models import PyLifModelBitAcc

    classes = {
        "LIF": PyLifModelBitAcc,
        "Dense": PyDenseModelBitAcc,
        "DelayDense": PyDelayDenseModelBitAcc,
        "Conv": PyConvModelFixed,
    }
    model_class = classes[type(process).__name__]
    model = model_class(process.proc_params)
    for variable in process.vars:
        declared = getattr(model_class, variable.name)
        value = variable.init
        if issubclass(declared.cls, np.ndarray):
            value = np.ndarray(variable.shape, declared.d_type)
            value[:] = variable.init
        setattr(model, variable.name, value)
    for port in (*process.in_ports, *process.out_ports):
        setattr(model, port.name, _Port(port.shape, getattr(model_class, port.name).d_type))
    return model


def _step_input(block: Any, drive: Array, steps: int) -> list[Array]:
    """An on-chip input layer: no synapse, the drive is its bias."""
    neuron = _instantiate(block.neuron)
    neuron.bias_mant[:] = drive
    states = []
    for _ in range(steps):
        neuron.run_spk()
        states.append(_snapshot(neuron))
    return _over_time(states)


def _step(block: Any, spikes: Array, clock: str) -> list[Array]:
    """A synapse answers one step late: the neuron runs from the second step on, to one after.

    On the global clock it runs from the first step on, as in Lava's runtime. A recurrent synapse
    sends what it was given in the step before and then is given what its neuron sends.
    """
    synapse, neuron = _instantiate(block.synapse), _instantiate(block.neuron)
    recurrent = _instantiate(block.synapse_rec) if hasattr(block, "synapse_rec") else None
    silence = np.zeros(synapse.s_in.data.shape, dtype=bool)
    states = []
    aligned = clock == "aligned"
    for step in range(spikes.shape[-1] + aligned):
        arriving = step < spikes.shape[-1]
        frame = _to_lava(spikes[..., step], silence.shape) if arriving else silence
        synapse.s_in.send(frame)
        synapse.run_spk()
        if step > 0 or not aligned:
            neuron.a_in.data = synapse.a_out.data  # a_in's int16 is declared, never applied
            if recurrent is not None:
                neuron.a_in.data = neuron.a_in.data + recurrent.a_buff
            neuron.run_spk()
            if recurrent is not None:
                recurrent.s_in.send(neuron.s_out.data)
                recurrent.run_spk()
            states.append(_snapshot(neuron))
    return _over_time(states)


def _snapshot(neuron: Any) -> tuple[Array, Array, Array]:
    return neuron.s_out.data.copy(), neuron.u.copy(), neuron.v.copy()


def _over_time(states: list[tuple[Array, Array, Array]]) -> list[Array]:
    return [np.stack(values, axis=-1) for values in zip(*states, strict=True)]


def _to_lava(values: Array, shape: tuple[int, ...]) -> Array:
    """C, H, W to Lava's W, H, C, or to a flat vector in C, H, W order."""
    return values.transpose(2, 1, 0) if len(shape) == 3 else values.reshape(shape)


def _from_lava(values: Array, shape: tuple[int, int, int]) -> Array:
    """[W, H, C, time] or [neurons, time] to [neurons in C, H, W order, time]."""
    if values.ndim == 4:
        assert values.shape[:3] == shape[::-1]
        values = values.transpose(2, 1, 0, 3)
    return values.reshape(-1, values.shape[-1])


def _as_trace(states: list[Array]) -> LayerTrace:
    """Of one sample, a batch of one."""
    spikes, u, v = (torch.from_numpy(state.astype(np.int32))[None] for state in states)
    return LayerTrace(spikes=spikes.to(torch.uint8), u=u, v=v)


def _stack(samples: list[LayerTrace]) -> LayerTrace:
    return LayerTrace(
        spikes=torch.cat([sample.spikes for sample in samples]),
        u=torch.cat([sample.u for sample in samples]),
        v=torch.cat([sample.v for sample in samples]),
    )


@st.composite
def _neurons(draw: st.DrawFn, channels: int) -> Neuron:
    """Decays at and near their ends, thresholds low and out of reach; per channel or not."""
    decays = st.sampled_from([0, 1, 64, 1024, 4095, 4096]) | st.integers(0, 4096)
    thresholds = st.sampled_from([1, 64, (1 << 17) - 1, 1 << 17]) | st.integers(1, 2000)
    count = channels if draw(st.booleans()) else 1

    def parameter(values: st.SearchStrategy[int]) -> npt.NDArray[np.int64]:
        drawn = np.array([draw(values) for _ in range(count)], dtype=np.int64)
        return drawn if count == channels else drawn.reshape(())

    return Neuron(parameter(decays), parameter(decays), parameter(thresholds))


WEIGHTS = (
    range(-256, 255),
    range(-256, 255, 2),
    range(256),
    range(-3, 4),
    (-128, -2, 64),
    (-128, -64, -1),  # without a positive weight Lava's packing loses some
    (-256, -2, 0),
    (-128, -3, 0),
    (-200, -1, 0),
)


@st.composite
def _weights(draw: st.DrawFn, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Mixed, one-signed, odd, even and extreme; never all zero."""
    values = np.array(draw(st.sampled_from(WEIGHTS)), dtype=np.int64)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = generator.choice(values, shape)
    if not weights.any():
        weights.flat[0] = values[0] or values[-1]
    return weights


@st.composite
def _biases(draw: st.DrawFn, count: int) -> npt.NDArray[np.int64] | None:
    limit = draw(st.sampled_from([None, 30, 4096, 40000]))  # 40000 overflows Lava's int16
    if limit is None:
        return None
    values = st.sampled_from([-limit, limit]) | st.integers(-limit, limit)
    return np.array(draw(st.lists(values, min_size=count, max_size=count)))


@st.composite
def _dense(draw: st.DrawFn, number: int, incoming: int, last: bool) -> DenseLayer:
    outgoing = draw(st.integers(1, 4))
    reach = draw(st.sampled_from([None, 0, 2, 62]))
    delay = None
    if reach is not None:
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        delay = generator.integers(0, reach, (outgoing, incoming), endpoint=True)
    return DenseLayer(
        number=number,
        shape=(outgoing, 1, 1),
        neuron=None if last and draw(st.booleans()) else draw(_neurons(outgoing)),
        weight=draw(_weights((outgoing, incoming))),
        bias=draw(_biases(outgoing)),
        delay=delay,
    )


@st.composite
def _recurrent(draw: st.DrawFn, number: int, incoming: int, last: bool) -> RecurrentLayer:
    outgoing = draw(st.integers(1, 5))
    weight = draw(_weights((outgoing, incoming)))
    back = draw(_weights((outgoing, outgoing)))
    silent = draw(st.sampled_from([None, None, weight, back]))  # one of the two may be all zero
    if silent is not None:
        silent[:] = 0
    if min(weight.min(), back.min()) < 0:  # 255 is for matrices without a negative weight
        weight, back = np.minimum(weight, 254), np.minimum(back, 254)
    return RecurrentLayer(
        number=number,
        shape=(outgoing, 1, 1),
        neuron=None if last and draw(st.booleans()) else draw(_neurons(outgoing)),
        weight=weight,
        weight_rec=back,
        bias=draw(_biases(outgoing)),
    )


@st.composite
def _conv(draw: st.DrawFn, number: int, incoming: Shape) -> ConvLayer:
    groups = incoming[0] if draw(st.booleans()) else 1
    channels = groups * draw(st.integers(1, 2))
    sizes, strides, pads, dilations = [], [], [], []
    for length in incoming[1:]:
        pads.append(draw(st.integers(0, 2)))
        dilations.append(draw(st.integers(1, 2)))
        longest = (length + 2 * pads[-1] - 1) // dilations[-1] + 1
        sizes.append(draw(st.integers(1, min(3, longest))))
        strides.append(draw(st.integers(1, 3)))
    reaches = [dilation * (size - 1) + 1 for size, dilation in zip(sizes, dilations, strict=True)]
    outgoing = [
        (length + 2 * pad - reach) // stride + 1
        for length, pad, reach, stride in zip(incoming[1:], pads, reaches, strides, strict=True)
    ]
    weight = draw(_weights((channels, incoming[0] // groups, sizes[0], sizes[1])))
    return ConvLayer(
        number=number,
        shape=(channels, outgoing[0], outgoing[1]),
        neuron=draw(_neurons(channels)),
        weight=weight,
        bias=draw(_biases(channels)),
        stride=(strides[0], strides[1]),
        padding=(pads[0], pads[1]),
        dilation=(dilations[0], dilations[1]),
        groups=groups,
    )


@st.composite
def _networks(draw: st.DrawFn, recurrent: bool = False) -> tuple[NetxModel, Inputs]:
    """One to four layers with their input: spikes, or drive into an on-chip input layer."""
    convs, denses = draw(st.sampled_from([(0, 1), (0, 3), (1, 0), (2, 0), (1, 1), (2, 1)]))
    sides = (draw(st.integers(1, 5)), draw(st.integers(1, 5))) if convs else (1, 1)
    input_shape = (draw(st.integers(1, 3)), *sides)
    layers: list[Layer] = []
    if draw(st.booleans()):
        layers.append(InputLayer(0, input_shape, draw(_neurons(input_shape[0]))))
    elif convs:
        layers.append(InputLayer(0, input_shape, None))
    shape: Shape = input_shape
    for _ in range(convs):
        layers.append(draw(_conv(len(layers), shape)))
        shape = layers[-1].shape
    loops = [False] * denses
    if recurrent:
        loops = draw(st.permutations([True, *draw(st.lists(st.booleans(), max_size=2))]))
    if convs and loops:
        shape = (math.prod(shape), 1, 1)
        layers.append(FlattenLayer(len(layers), shape))
    for index, loop in enumerate(loops):
        make = _recurrent if loop else _dense
        layers.append(draw(make(len(layers), shape[0], index == len(loops) - 1)))
        shape = layers[-1].shape
    model = NetxModel(input_shape, tuple(layers))
    batch, steps = draw(st.integers(1, 2)), draw(st.sampled_from([1, 2, 5, 9]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if model.input_layer is not None and draw(st.booleans()):
        limit = draw(st.sampled_from([100, 4095, 32767]))
        drive = generator.integers(-limit, limit, (batch, *input_shape), endpoint=True)
        return model, Inputs.drive(torch.from_numpy(drive.astype(np.int32)), steps)
    density = draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    spikes = generator.random((batch, *input_shape, steps)) < density
    return model, Inputs.of(torch.from_numpy(spikes.astype(np.uint8)))


class Remains:
    """What Lava could leave behind: processes, shared memory, temporary files."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary

    def group(self, leader: int) -> list[Any]:
        """Running processes of a worker's session."""
        import psutil

        members = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                    members.append(process)
            except (psutil.NoSuchProcess, ProcessLookupError):
                continue
        return members

    def segments(self, leader: int) -> list[Path]:
        return list(Path("/dev/shm").glob(f"neurorobust-{leader}-*"))

    def workers_of(self, backend: Any) -> list[int]:
        """The running workers; each holds Lava, so that a later look sees what there is to see."""
        leaders = [worker.pid for worker in backend._pool.workers]
        for leader in leaders:
            assert len(self.group(leader)) > 3
            assert self.segments(leader)
        return leaders

    def worker_of(self, backend: Any) -> int:
        (leader,) = self.workers_of(backend)
        return leader

    def await_guard(self, leader: int) -> None:
        """Until the guard of a worker whose parent is gone has ended: all must be done by then."""
        while any(process.pid == leader for process in self.group(leader)):
            time.sleep(0.01)

    def assert_none(self, leader: int) -> None:
        assert self.group(leader) == []
        assert self.segments(leader) == []
        assert list(self.temporary.iterdir()) == []


@pytest.fixture(scope="session")
def wide() -> NetxModel:
    """784-64-64-10, even weights."""
    generator = np.random.default_rng(5)
    layers, incoming = [], 784
    for number, (outgoing, spread) in enumerate(((64, 12), (64, 40), (10, 40))):
        weight = 2 * np.rint(generator.normal(0, spread / 2, (outgoing, incoming))).astype(np.int64)
        cell = Neuron(np.array(1024), np.array(123), np.array(80))
        bias = generator.integers(-50, 50, outgoing)
        layers.append(DenseLayer(number, (outgoing, 1, 1), cell, weight.clip(-256, 254), bias))
        incoming = outgoing
    return NetxModel((784, 1, 1), tuple(layers))


@pytest.fixture
def int8_at_any_speed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """int8 products are taken wherever they are right, as if they were twice as fast as float32."""
    seconds = itertools.cycle([2.0, 1.0])  # of float32, of int8
    monkeypatch.setattr(int8, "_seconds", lambda work: next(seconds))
    int8.unusable.cache_clear()
    if int8.unusable():
        pytest.skip(int8.unusable())
    yield
    int8.unusable.cache_clear()


@pytest.fixture
def torch_threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's number of threads, for the length of a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remains]:
    """Temporary files go to a directory of the test's own; its path is short enough for sockets.

    `tmp_path` is asked for to be made elsewhere, before. Logs of failures go to `tmp_path/logs`.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(neurorobust.__file__).parents[1]))
    monkeypatch.setenv("NEUROROBUST_LOGS", str(tmp_path / "logs"))
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        monkeypatch.setattr(tempfile, "tempdir", directory)
        monkeypatch.setenv("TMPDIR", directory)
        yield Remains(Path(directory))
