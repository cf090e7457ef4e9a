"""One network on a Loihi 2 board: built, loaded, run, read and given back for each batch.

The chip resets u and v every `interval` steps, a power of two, each layer one step after the layer
before it, so that a sample's step 0 finds zeros. What synapses hold or delay is *not* reset; see
`Loihi2Backend` for the networks that this rules out, and `fresh` for those that are loaded anew
for each sample.

Columns: step k of sample s at depth d (synapses passed) arrives at a sink in column
`s * interval + k + d + input latency + output latency`.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurorobust import netx
from neurorobust.backends.hosted.exchange import Array
from neurorobust.backends.loihi2 import calibration as calibration
from neurorobust.backends.loihi2.calibration import Latency
from neurorobust.backends.loihi2.profile import Profilers

_VARIABLES = ("u", "v")
STOP_SECONDS = 10.0


class BoardError(Exception):
    """A step on the way through the board failed; the message names it."""


class Loihi2Network:
    """One network; see `LavaNetwork` for what its `run` takes and returns.

    Args:
        file: the `.net` file; the calibration's is written beside it.
        layers: how many of the file's layers to build.
        input_shape: C, H, W.
        driven: feed the on-chip input layer; else it is skipped and the first synapse is fed.
        skip: layers of the file to skip.
        fresh: load the network anew for each sample.
        tell: told, in words, when one of Lava's processes on the host ends: Lava would wait on.
    """

    def __init__(
        self,
        file: Path,
        layers: int,
        input_shape: tuple[int, int, int],
        driven: bool,
        skip: int,
        fresh: bool,
        tell: Callable[[str], None],
    ) -> None:
        self._file, self._layers, self._shape = file, layers, input_shape
        self._driven, self._skip, self._fresh = driven, skip, fresh
        self._tell = tell
        self._latency: Latency | None = None
        self.report: dict[str, Any] = {}

    def run(
        self, batch: Array, steps: int, record: list[int], done: Callable[[int], None]
    ) -> dict[str, Array]:
        """Run a batch; see `LavaNetwork.run`."""
        if self._latency is None:
            self._latency = self._calibrate()
        size = 1 if self._fresh else len(batch)
        answers = []
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            answers.append(self._run(part, steps, record, _after(start, done)))
        return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}

    def _run(
        self, batch: Array, steps: int, record: list[int], done: Callable[[int], None]
    ) -> dict[str, Array]:
        late = self._latency
        assert late is not None
        interval = calibration.interval(steps, self._layers, late)
        with _step("build"):
            network = self._build(interval, late)
        blocks, samples = network.layers, len(batch)
        length = samples * interval
        with _step("build"):
            if not self._driven:
                stream = np.zeros((*network.inp.shape, length), dtype=np.int32)
                for index in range(samples):
                    at = index * interval
                    stream[..., at : at + steps] = _to_lava(batch[index], network.inp.shape)
                _feed(network, stream)
            else:
                blocks[0].neuron.bias_mant.init = _drive(batch[0], blocks[0])
            last = len(blocks) - 1
            spikes = {index: _listen(blocks[index], length) for index in {*record, last}}
            states = {
                (index, name): _watch(blocks[index], name, length)
                for index, name in {*((i, n) for i in record for n in _VARIABLES), (last, "v")}
            }
            profilers = Profilers(length)
        first = 0 if self._driven else late.input
        depths, passed = [], 0
        for block in blocks:
            passed += hasattr(block, "synapse")
            depths.append(passed + first)
        with _given_back(network, self._tell):
            self._start(network, profilers)
            for index in range(samples):
                if index and self._driven:
                    with _step("transfer"):
                        blocks[0].neuron.bias_mant.set(_drive(batch[index], blocks[0]))
                _steps(network, interval)
                done(index + 1)
            with _step("transfer"):
                raw_spikes = {key: sink.data.get() for key, sink in spikes.items()}
                raw_states = {key: sink.data.get() for key, sink in states.items()}
        self.report = {
            "latency_steps": late.as_dict(),
            "reset_interval": interval,
            "profile": profilers.results(interval),
        }

        def cut(raw: Array, index: int, delay: int) -> Array:
            """`[sample, neuron, step]`, neurons in C, H, W order."""
            at = depths[index] + delay
            starts = [s * interval + at for s in range(samples)]
            rows = [raw[..., start : start + steps] for start in starts]
            return np.stack([_from_lava(row) for row in rows])

        answer: dict[str, Array] = {}
        for index in {*record, last}:
            fired = (cut(raw_spikes[index], index, late.output) != 0).astype(np.uint8)
            if index == last:
                answer["spikes"] = fired
            if index in record:
                answer[f"{index}/spikes"] = fired
            for name in _VARIABLES:
                if (index, name) in raw_states:
                    state = _signed(cut(raw_states[index, name], index, late.state))
                    if name == "v":
                        state[fired != 0] = 0  # on the chip the refractory mark is read there
                        if index == last:
                            answer["membrane"] = state[:, :, -1].copy()
                    if index in record:
                        answer[f"{index}/{name}"] = state
        return answer

    def _build(self, interval: int, late: Latency) -> Any:
        from lava.lib.dl.netx.hdf5 import Network

        return Network(
            net_config=str(self._file),
            num_layers=self._layers,
            skip_layers=self._skip,
            input_shape=self._shape[::-1],
            reset_interval=interval,
            reset_offset=0 if self._driven else (1 + late.input) % interval,
        )

    def _start(self, network: Any, profilers: Profilers | None) -> None:
        from lava.magma.core.run_configs import Loihi2HwCfg

        with _step("compile"):
            settings = Loihi2HwCfg(
                select_sub_proc_model=True,
                callback_fxs=[] if profilers is None else profilers.callbacks,
            )
            executable = network.compile(settings)
        with _step("start"):
            network.create_runtime(run_cfg=settings, executable=executable)

    def _calibrate(self) -> Latency:
        """Impulse through the same kind of input adapter; see `calibration`."""
        from lava.lib.dl.netx.hdf5 import Network

        with _step("calibration"):
            conv = len(self._build(2, Latency(0, 0, 0)).inp.shape) == 3
            path = self._file.with_name("calibration.net")
            netx.write(calibration.network(conv), path)
            network = Network(
                net_config=str(path),
                skip_layers=int(conv),
                input_shape=(1, 1, 1) if conv else (1,),
                reset_interval=calibration.INTERVAL,
                reset_offset=1,
            )
            stream = calibration.impulse().reshape(*network.inp.shape, -1)
            _feed(network, stream)
            block = network.layers[0]
            spikes, states = (
                _listen(block, calibration.STEPS),
                _watch(block, "v", calibration.STEPS),
            )
        with _given_back(network, self._tell):
            self._start(network, None)
            _steps(network, calibration.STEPS)
            with _step("transfer"):
                fired = spikes.data.get().reshape(3, -1)
                voltage = _signed(states.data.get().reshape(3, -1))
        with _step("calibration"):
            return calibration.latency(fired, voltage)


def _after(start: int, done: Callable[[int], None]) -> Callable[[int], None]:
    """`done`, counting from later on."""
    return lambda samples: done(start + samples)


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Name the step in which an error came."""
    try:
        yield
    except Exception as error:  # what a vendor's extension raises is not known
        words = " ".join(str(error).split())
        raise BoardError(f"{what} failed: {type(error).__name__}: {words}") from error


@contextmanager
def _given_back(network: Any, tell: Callable[[str], None]) -> Iterator[None]:
    """Stop the network whatever happens; where that fails too, the first error counts.

    After an error Lava's `stop` may wait for ever: it gets a thread and a limit.
    """
    ending = threading.Event()
    threading.Thread(target=_watch_processes, args=(network, ending, tell), daemon=True).start()
    try:
        yield
    finally:
        ending.set()
        already, failed = sys.exc_info()[0] is not None, []

        def stop() -> None:
            try:
                network.stop()
            except Exception as error:
                traceback.print_exc()
                failed.append(f"{type(error).__name__}: {error}")

        thread = threading.Thread(target=stop, daemon=True)
        thread.start()
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            failed.append(f"no answer within {STOP_SECONDS:g} s")
        if failed and not already:
            raise BoardError(f"stop failed: {failed[0]}")


def _watch_processes(network: Any, ending: threading.Event, tell: Callable[[str], None]) -> None:
    while not ending.wait(0.2):
        runtime = network.runtime
        for actor in [] if runtime is None else runtime._messaging_infrastructure.actors:
            if not ending.is_set() and not actor.is_alive():
                error = actor.exception  # (the exception, its traceback), if it raised
                words = f"exit code {actor.exitcode}"
                if error:
                    print(error[1], flush=True)
                    words = f"{type(error[0]).__name__}: {error[0]}"
                tell(f"BoardError: run failed: one of Lava's processes ended: {words}")
                return


def _steps(network: Any, count: int) -> None:
    from lava.magma.core.run_conditions import RunSteps

    with _step("run"):
        network.run(RunSteps(num_steps=count))


def _feed(network: Any, stream: Array) -> None:
    """A source on the host, through the adapter for the kind of port that it feeds."""
    from lava.proc import embedded_io
    from lava.proc.io.source import RingBuffer

    shape = network.inp.shape
    kind = "PyToN3ConvAdapter" if len(shape) == 3 else "PyToNxAdapter"
    adapter = getattr(embedded_io.spike, kind)(shape=shape)
    RingBuffer(data=stream).s_out.connect(adapter.inp)
    adapter.out.connect(network.inp)


def _listen(block: Any, length: int) -> Any:
    """A sink on the host for a layer's spikes."""
    from lava.proc import embedded_io
    from lava.proc.io.sink import RingBuffer

    shape = block.neuron.s_out.shape
    adapter = embedded_io.spike.NxToPyAdapter(shape=shape)
    sink = RingBuffer(shape=shape, buffer=length)
    block.neuron.s_out.connect(adapter.inp)
    adapter.out.connect(sink.a_in)
    return sink


def _watch(block: Any, name: str, length: int) -> Any:
    """A sink on the host for a layer's variable, read after every step."""
    from lava.proc import embedded_io
    from lava.proc.io.sink import RingBuffer

    shape = block.neuron.s_out.shape
    reader = embedded_io.state.Read(shape=shape, interval=1, offset=0)
    sink = RingBuffer(shape=shape, buffer=length)
    reader.connect_var(getattr(block.neuron, name))
    reader.out.connect(sink.a_in)
    return sink


def _to_lava(sample: Array, shape: tuple[int, ...]) -> Array:
    """C, H, W, time -> a port's shape and time; 3-D ports are W, H, C, flat ones C, H, W."""
    turned = np.swapaxes(sample, 0, 2) if len(shape) == 3 else sample
    return turned.reshape(*shape, sample.shape[-1])


def _drive(sample: Array, block: Any) -> Array:
    """C, H, W -> the input layer's shape."""
    shape = block.neuron.s_out.shape
    turned = np.swapaxes(sample, 0, 2) if len(shape) == 3 else sample
    return turned.reshape(shape).astype(np.int32)


def _from_lava(values: Array) -> Array:
    """A layer's shape and time -> neurons in C, H, W order, time."""
    turned = np.swapaxes(values, 0, 2) if values.ndim == 4 else values
    return turned.reshape(-1, values.shape[-1])


def _signed(values: Array) -> Array:
    """24 bits as the chip sends them -> int32 (`(x << 8) >> 8`)."""
    words = values.astype(np.int64).astype(np.int32)
    return (words << 8) >> 8
