"""The ways to run a network with Lava, each in a process of its own, timed from inside.

Lava forks a process a layer and prints; so every way lives in a spawned process that is asked for
one turn at a time, and whose process group is ended with it.

long        Lava's runtime, the way to its highest rate: all samples in one ring buffer of spikes,
            one run, NetX's own resets (`reset_interval`) between samples, output in a sink
one-by-one  Lava's runtime as its tutorials use it: compiled once; per sample the drive is set, the
            network run, the membrane read, the states set to zero
models      Lava's process models stepped by hand in one process, without its runtime
nengo       nengo-loihi's emulator with the same weights (dense networks): its own rounding, no
            resets between samples and no accumulator at the end, so only the time is compared
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurorobust.fixedpoint import DECAY_UNITY

Array = npt.NDArray[Any]
START_LIMIT = 300.0  # seconds to import, build and compile
TURN_LIMIT = 600.0


@dataclass(frozen=True)
class Dense:
    """A dense layer's integers."""

    weight: Array
    voltage_decay: int
    threshold: int


@dataclass(frozen=True)
class Job:
    """What to run.

    Attributes:
        path: the `.net` file; it starts with an on-chip input layer.
        drive: int32 `[samples, C, H, W]`.
        entered: uint8 `[samples, C, H, W, time]`, what the input layer answers to the drive.
        dense: the layers, where all are dense and forget u at once; for nengo.
    """

    path: Path
    drive: Array
    entered: Array
    dense: tuple[Dense, ...] = ()

    @property
    def samples(self) -> int:
        """Samples in a turn."""
        return len(self.drive)

    @property
    def steps(self) -> int:
        """Time steps a sample."""
        return int(self.entered.shape[-1])


class Pattern:
    """A way to run the job: `turn` runs all samples; `spikes`, `membrane` say what came out."""

    spikes: Array | None = None  # [samples, neurons, time]
    membrane: Array | None = None  # [samples, neurons]

    def turn(self) -> None:
        """Run all samples once."""
        raise NotImplementedError  # each has its own; the two below are for those that need them

    def settle(self) -> None:
        """Make `spikes` and `membrane` from the last turn; not timed."""

    def stop(self) -> None:
        """End what was started."""


class LongRun(Pattern):
    """One ring buffer, one run.

    Layer l answers in column s T + k + 1 + l to step k of sample s; the source and the sink are as
    long as a turn, so that what a turn leaves in the pipeline arrives in the next.
    """

    def __init__(self, job: Job) -> None:
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg
        from lava.proc.io.sink import RingBuffer as Sink
        from lava.proc.io.source import RingBuffer as Source

        self.job = job
        self.network = _network(job, skip_layers=1, reset_interval=job.steps, reset_offset=1)
        columns = np.moveaxis(job.entered, 0, -2).reshape(*job.entered.shape[1:4], -1)
        port = tuple(self.network.inp.shape)
        data = _to_lava(columns, port).astype(np.int32)
        self.source = Source(data=data)
        self.sink = Sink(shape=tuple(self.network.out.shape), buffer=data.shape[-1])
        self.source.s_out.connect(self.network.inp)
        self.network.out.connect(self.sink.a_in)
        self.condition = RunSteps(num_steps=data.shape[-1])
        self.configuration = Loihi2SimCfg(select_tag="fixed_pt")

    def turn(self) -> None:
        """See `Pattern.turn`."""
        self.sink.run(condition=self.condition, run_cfg=self.configuration)

    def settle(self) -> None:
        """See `Pattern.settle`."""
        late = len(self.network.layers)
        columns = np.roll(_from_lava(self.sink.data.get()), -late, axis=-1)
        split = columns.reshape(len(columns), self.job.samples, self.job.steps)
        self.spikes = split.swapaxes(0, 1).astype(np.uint8)

    def stop(self) -> None:
        """See `Pattern.stop`."""
        self.sink.stop()


class OneByOne(Pattern):
    """Per sample: set the drive, run, read the membrane, flush the synapses, zero the states."""

    def __init__(self, job: Job) -> None:
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2SimCfg

        self.job = job
        self.network = _network(job)
        self.neurons = [block.neuron for block in self.network.layers]
        self.port = tuple(self.neurons[0].s_out.shape)
        late = len(self.neurons) - 1
        self.whole, self.flush = RunSteps(job.steps + late), RunSteps(late)
        self.configuration = Loihi2SimCfg(select_tag="fixed_pt")
        self.network.run(condition=self.flush, run_cfg=self.configuration)

    def turn(self) -> None:
        """See `Pattern.turn`."""
        self._forget()
        read = []
        for drive in self.job.drive:
            self.neurons[0].bias_mant.set(_to_lava(drive[..., None], self.port)[..., 0])
            self.network.run(condition=self.whole, run_cfg=self.configuration)
            read.append(_from_lava(self.neurons[-1].v.get()[..., None])[..., 0])
            self.neurons[0].bias_mant.set(np.zeros(self.port, dtype=int))
            self._forget()
            self.network.run(condition=self.flush, run_cfg=self.configuration)
            self._forget()
        self.membrane = np.stack(read).astype(np.int32)

    def _forget(self) -> None:
        for neuron in self.neurons:
            for variable in (neuron.u, neuron.v):
                variable.set(np.zeros(variable.shape, dtype=int))

    def stop(self) -> None:
        """See `Pattern.stop`."""
        self.network.stop()


class Models(Pattern):
    """Lava's process models, filled in as Lava's builder does it, stepped layer after layer."""

    def __init__(self, job: Job) -> None:
        self.job = job
        blocks = _network(job).layers
        self.neurons = [_model(block.neuron) for block in blocks]
        self.synapses = [_model(block.synapse) for block in blocks[1:]]

    def turn(self) -> None:
        """See `Pattern.turn`."""
        results = [self._sample(drive) for drive in self.job.drive]
        self.spikes = np.stack([spikes for spikes, _ in results])
        self.membrane = np.stack([membrane for _, membrane in results])

    def _sample(self, drive: Array) -> tuple[Array, Array]:
        frames = self._entered(drive)
        for synapse, neuron in zip(self.synapses, self.neurons[1:], strict=True):
            frames = _answers(synapse, neuron, frames)
        spikes = _from_lava(np.stack(frames, axis=-1)).astype(np.uint8)
        return spikes, _from_lava(self.neurons[-1].v[..., None])[..., 0].astype(np.int32)

    def _entered(self, drive: Array) -> list[Array]:
        neuron = self.neurons[0]
        neuron.u[...] = neuron.v[...] = 0
        neuron.bias_mant[...] = _to_lava(drive[..., None], neuron.bias_mant.shape)[..., 0]
        frames = []
        for _ in range(self.job.steps):
            neuron.run_spk()
            frames.append(neuron.s_out.data)
        return frames


def _answers(synapse: Any, neuron: Any, frames: list[Array]) -> list[Array]:
    """A layer's spikes, step by step. A synapse answers a step late: the neuron starts late."""
    neuron.u[...] = neuron.v[...] = 0
    port, answered = synapse.s_in.data, []
    for step in range(len(frames) + 1):
        frame = frames[step] if step < len(frames) else np.zeros_like(frames[0])
        if port.ndim == 1 and frame.ndim == 3:
            frame = frame.transpose(2, 1, 0).reshape(-1)
        synapse.s_in.send(frame)
        synapse.run_spk()  # sends what the step before left; the sample before left silence
        if step > 0:
            neuron.a_in.data = synapse.a_out.data
            neuron.run_spk()
            answered.append(neuron.s_out.data)
    return answered


class Nengo(Pattern):
    """The emulator, fed the input layer's spikes sample after sample without resets."""

    def __init__(self, job: Job) -> None:
        from nengo_loihi.block import Axon, LoihiBlock, Synapse
        from nengo_loihi.builder import Model
        from nengo_loihi.builder.discretize import discretize_model
        from nengo_loihi.emulator import EmulatorInterface
        from nengo_loihi.inputs import SpikeInput

        self.job = job
        model = Model(dt=0.001)
        self.input = SpikeInput(job.dense[0].weight.shape[1], "input")
        model.add_input(self.input)
        before: Any = self.input
        for layer in job.dense:
            outputs, inputs = layer.weight.shape
            block = LoihiBlock(outputs)
            # nengo scales what it integrates by the decay: so does the threshold
            lost = layer.voltage_decay / DECAY_UNITY
            block.compartment.configure_lif(
                tau_rc=-0.001 / np.log1p(-lost),
                tau_ref=0.0,
                vth=layer.threshold * lost,
                min_voltage=-1e6,
            )
            block.compartment.configure_filter(0.0)
            synapse = Synapse(inputs)
            synapse.set_weights(layer.weight.T.astype(np.float32))
            block.add_synapse(synapse)
            axon = Axon(inputs)
            axon.target = synapse
            axon.set_compartment_axon_map(np.arange(inputs))
            before.add_axon(axon)
            model.add_block(block)
            before = block
        discretize_model(model)
        self.emulator = EmulatorInterface(model, seed=0)
        self.now = 0
        flat = job.entered.reshape(job.samples, -1, job.steps)
        self.active = [np.flatnonzero(flat[s, :, k]) for s, k in np.ndindex(job.samples, job.steps)]

    def turn(self) -> None:
        """See `Pattern.turn`."""
        spikes = [(self.input, self.now + 1 + k, active) for k, active in enumerate(self.active)]
        self.emulator.host2chip(spikes, {})
        self.emulator.run_steps(len(self.active))
        self.now += len(self.active)


PATTERNS: dict[str, Callable[[Job], Pattern]] = {
    "long": LongRun,
    "one-by-one": OneByOne,
    "models": Models,
    "nengo": Nengo,
}


class Worker:
    """A pattern in its own process; its `turn` returns the seconds that the samples took."""

    def __init__(self, pattern: str, job: Job) -> None:
        self.connection, there = multiprocessing.Pipe()
        arguments = [sys.executable, __file__, str(there.fileno())]
        self.process = subprocess.Popen(
            arguments, pass_fds=[there.fileno()], start_new_session=True, stdout=subprocess.DEVNULL
        )
        there.close()
        self.connection.send((pattern, job))
        self._answer(START_LIMIT)

    def turn(self) -> float:
        """Run all samples once; seconds."""
        self.connection.send("turn")
        return float(self._answer(TURN_LIMIT))

    def results(self) -> tuple[Array | None, Array | None]:
        """Spikes `[samples, neurons, time]` and membrane `[samples, neurons]`, if it has them."""
        self.connection.send("results")
        spikes, membrane = self._answer(TURN_LIMIT)
        return spikes, membrane

    def close(self) -> None:
        """End the process and whatever it forked."""
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.connection.send("stop")
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # the session's group
        self.process.wait()

    def _answer(self, limit: float) -> Any:
        try:
            if not self.connection.poll(limit):
                raise TimeoutError(f"no answer from Lava in {limit:.0f} s")
            kind, value = self.connection.recv()
        except (EOFError, TimeoutError):
            self.close()
            raise
        if kind == "error":
            self.close()
            raise RuntimeError(value)
        return value


@contextlib.contextmanager
def workers(patterns: list[str], job: Job) -> Iterator[dict[str, Worker]]:
    """One worker a pattern, ended when the block ends."""
    started: dict[str, Worker] = {}
    try:
        for pattern in patterns:
            started[pattern] = Worker(pattern, job)
        yield started
    finally:
        for worker in started.values():
            worker.close()


def serve(connection: Connection) -> None:
    """Build the pattern that is asked for, then answer until told to stop."""
    warnings.simplefilter("ignore")
    name, job = connection.recv()
    try:
        pattern = PATTERNS[name](job)
        connection.send(("ready", None))
        while True:
            command = connection.recv()
            if command == "stop":
                pattern.stop()
                return
            if command == "turn":
                begun = time.perf_counter()
                pattern.turn()
                connection.send(("seconds", time.perf_counter() - begun))
            else:
                pattern.settle()
                connection.send(("results", (pattern.spikes, pattern.membrane)))
    except EOFError:
        return
    except Exception as error:  # whatever it was: the parent, which waits, names it and ends
        connection.send(("error", f"{name}: {type(error).__name__}: {error}"))


def _network(job: Job, **options: Any) -> Any:
    from lava.lib.dl.netx.hdf5 import Network

    shape = job.drive.shape[1:]
    return Network(net_config=str(job.path), input_shape=shape[::-1], **options)


def _to_lava(values: Array, port: tuple[int, ...]) -> Array:
    """`[C, H, W, time]` -> Lava's `[W, H, C, time]`, or `[neurons, time]` for a flat port."""
    if len(port) == 3:
        return np.ascontiguousarray(values.transpose(2, 1, 0, 3))
    return values.reshape(-1, values.shape[-1])


def _from_lava(values: Array) -> Array:
    """Lava's `[W, H, C, time]` or `[neurons, time]` -> `[neurons in C, H, W order, time]`."""
    if values.ndim == 4:
        values = values.transpose(2, 1, 0, 3)
    return values.reshape(-1, values.shape[-1])


class _Port:
    """A port with one peer: what was sent last is what is received."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.dtype = dtype
        self.data = np.zeros(shape, dtype)

    def send(self, data: Array) -> None:
        self.data = np.asarray(data).astype(self.dtype)

    def recv(self) -> Array:
        return self.data


def _model(process: Any) -> Any:
    """The process's fixed-point model with its variables, as Lava's `PyProcessBuilder` fills it."""
    from lava.proc.conv.models import PyConvModelFixed
    from lava.proc.dense.models import PyDenseModelBitAcc
    from lava.proc.lif.models import PyLifModelBitAcc

    classes = {"LIF": PyLifModelBitAcc, "Dense": PyDenseModelBitAcc, "Conv": PyConvModelFixed}
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


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
