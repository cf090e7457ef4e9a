"""One network in the Lava runtime: compiled once, fed batch after batch. Lives in the worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neurorobust.backends.hosted.exchange import Array, Clock, Exchange
from neurorobust.backends.lava.models import timed_models


class LavaNetwork:
    """One network, compiled once, fed batch after batch.

    Args:
        file: the `.net` file; its directory is written to.
        layers: how many of the file's layers to build (trailing `average` layers are left out).
        input_shape: C, H, W.
        driven: feed the on-chip input layer; else it is skipped and the first synapse is fed.
        skip: layers of the file to skip.
        sparse: fully connected layers as Lava's `Sparse` processes.
    """

    def __init__(
        self,
        file: Path,
        layers: int,
        input_shape: tuple[int, int, int],
        driven: bool,
        skip: int,
        sparse: bool = False,
    ) -> None:
        from lava.lib.dl.netx.hdf5 import Network
        from lava.magma.core.run_configs import Loihi2SimCfg
        from lava.proc.io.source import RingBuffer

        self._network: Any = Network(
            net_config=str(file),
            num_layers=layers,
            skip_layers=skip,
            input_shape=input_shape[::-1],
            sparse_fc_layer=sparse,
        )
        blocks = self._network.layers
        self._shapes = [tuple(int(n) for n in block.neuron.s_out.shape) for block in blocks]
        port = self._network.in_layer.inp.shape
        self._input_shape = tuple(int(n) for n in port)
        self._driven = driven
        self._exchange = Exchange(
            file.parent, int(np.prod(port)), [int(np.prod(shape)) for shape in self._shapes], driven
        )
        depth = 0
        if not driven:
            source = RingBuffer(data=np.zeros((*port, 1), dtype=np.int32))
            source.proc_params["clock"] = Clock(self._exchange, depth)
            source.s_out.connect(self._network.inp)
        for index, block in enumerate(blocks):
            if hasattr(block, "synapse"):
                block.synapse.proc_params["clock"] = Clock(self._exchange, depth)
                depth += 1
            if hasattr(block, "synapse_rec"):  # what feeds it is its own neuron
                block.synapse_rec.proc_params["clock"] = Clock(self._exchange, depth)
            parameters = block.neuron.proc_params
            parameters["clock"] = Clock(self._exchange, depth)
            parameters["index"] = index
            parameters["driven"] = driven and index == 0
            parameters["last"] = index == len(blocks) - 1
        self._depth = depth
        self._network.create_runtime(
            Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=timed_models())
        )

    @property
    def processes(self) -> list[int]:
        """Process ids of everything that Lava forked for this network."""
        return [actor.pid for actor in self._network.runtime._messaging_infrastructure.actors]

    def run(
        self, batch: Array, steps: int, record: list[int], done: Callable[[int], None]
    ) -> dict[str, Array]:
        """Run a batch.

        Args:
            batch: uint8 spikes `[batch, C, H, W, time]`, or int32 drive `[batch, C, H, W]`.
            steps: time steps of every sample.
            record: indices of the built layers to record.
            done: told how many samples are done.

        Returns:
            `spikes`, `membrane`, and `<index>/spikes|u|v`, neurons in C, H, W order, time last.
        """
        from lava.magma.core.run_conditions import RunSteps

        samples = batch.shape[0]
        self._exchange.begin(samples, steps, record)
        self._exchange.arrays["input"][...] = self._to_lava(batch)
        finished = 0
        for run in range(samples + 1):
            # the last run drains the pipeline
            self._network.run(RunSteps(num_steps=steps + 1 if run < samples else self._depth or 1))
            reached = (
                (run + 1) * (steps + 1) - self._depth if run < samples else samples * (steps + 1)
            )
            if reached // (steps + 1) > finished:
                finished = reached // (steps + 1)
                done(finished)
        return {name: self._from_lava(name) for name in self._exchange.arrays if name != "input"}

    def _to_lava(self, batch: Array) -> Array:
        """NCHW(T) -> samples, (steps,) neurons; Lava's 3-D ports are W, H, C, flat ones C, H, W."""
        timed = batch if self._driven else np.moveaxis(batch, -1, 1)
        if len(self._input_shape) == 3:
            timed = np.swapaxes(timed, -1, -3)
        return timed.reshape(*timed.shape[:-3], -1)

    def _from_lava(self, name: str) -> Array:
        """Samples, (steps,) neurons of Lava -> samples, neurons in C, H, W order, (steps)."""
        values = self._exchange.arrays[name]
        index, _, variable = name.rpartition("/")
        shape = self._shapes[int(index) if index else -1]
        if len(shape) == 3:
            values = np.swapaxes(values.reshape(*values.shape[:-1], *shape), -1, -3)
            values = values.reshape(*values.shape[:-3], -1)
        return values.copy() if variable == "membrane" else np.moveaxis(values, 1, -1).copy()
