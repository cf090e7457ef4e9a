"""A run in chunks of time: all that one step leaves to the next is carried over.

For inputs longer than memory. Whatever the chunks, what they give, one after the other, is what one
long run would give, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.base import GLOBAL, check_clock, check_inputs, check_record
from neurorobust.backends.engine.forward import Carried, fire
from neurorobust.backends.engine.layer import LayerPlan
from neurorobust.backends.engine.layout import signals
from neurorobust.backends.engine.plan import EnginePlan
from neurorobust.backends.engine.run_buffers import Answer
from neurorobust.backends.engine.synapses import DelayedDense
from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel
from neurorobust.types import Inputs, Run


class Stream:
    """A network that is fed chunk after chunk; `EngineBackend.stream` makes one.

    It keeps u, v, the buffers of synapses, delayed events and recurrent spikes of every layer. The
    whole batch goes through at once, so memory grows with its size and a chunk's steps, never with
    the number of chunks.

    Args:
        model: the network.
        plan: how to compute it.
        record: numbers (in the file) of the layers whose spikes, u and v are wanted.
        clock: `global` or `aligned`, as in `Backend.run`.

    Raises:
        BadInput: an unknown clock or layer.

    Example:
        >>> from neurorobust.backends.engine import EngineBackend
        >>> from neurorobust.netx import read
        >>> stream = EngineBackend(read("model.net")).stream()
        >>> for chunk in recording.split(1000, dim=-1):
        ...     spikes = stream.feed(chunk).spikes
    """

    def __init__(
        self,
        model: NetxModel,
        plan: EnginePlan,
        record: Collection[int] = (),
        clock: str = GLOBAL,
    ) -> None:
        check_clock(clock)
        check_record(model, record)
        self.model, self.clock, self.record = model, clock, frozenset(record)
        self._plan = plan
        self._cells: list[_Cell] | None = None
        self._kind, self._batch = "", 0

    def feed(self, inputs: Inputs | Tensor) -> Run:
        """Go on by the steps of `inputs`; the first call decides the batch and its kind.

        Args:
            inputs: spikes uint8 `[batch, *model.input_shape, time]`, or drive, whose values may
                change from chunk to chunk.

        Returns:
            What these steps gave; `membrane` is v after the last of them.

        Raises:
            BadInput: inputs that do not fit the model, or not the chunks before.
        """
        inputs = Inputs.of(inputs)
        check_inputs(self.model, inputs)
        if self._cells is None:
            self._cells = self._open(inputs)
        if inputs.kind != self._kind or len(inputs) != self._batch:
            raise BadInput(
                f"stream: {len(inputs)} samples of {inputs.kind},"
                f" began with {self._batch} of {self._kind}"
            )
        steps = inputs.steps
        layers = tuple(cell.layer for cell in self._cells)
        answer, whole = Answer(layers, len(inputs), steps, self.record), slice(None)
        with torch.no_grad():
            signal = signals(inputs.values)
            for cell in self._cells:
                kept = cell.layer.number in self.record
                done = fire(cell.layer, cell.source(signal), steps, kept, kept, cell.carried)
                answer.trace(cell.layer, whole, done)
                signal = done.spikes
                cell.remember(signal)
            answer.end(layers[-1], whole, done)
        return Run(answer.spikes, answer.membrane, answer.layers)

    def reset(self) -> None:
        """Put u and v of every layer to 0, and nothing else, as Lava's resets do.

        What is under way stays: buffers of synapses (on the global clock), delayed events, spikes
        of recurrent layers. On the aligned clock this is a reset of every layer when its first
        input of a sample arrives; on the global clock one of all layers in the same step.
        """
        for cell in self._cells or ():
            cell.carried.state[:] = 0

    def _open(self, inputs: Inputs) -> list[_Cell]:
        layers = self._plan.fed(inputs.driven, self.record)
        self._kind, self._batch = inputs.kind, len(inputs)
        return [_Cell(layer, self._batch, self.clock == GLOBAL) for layer in layers]


class _Cell:
    """One layer and what it carries."""

    def __init__(self, layer: LayerPlan, batch: int, late: bool) -> None:
        self.layer = layer
        synapse = layer.synapse
        self._late = int(late and synapse is not None)
        delays = [b.delay for b in synapse.buckets] if isinstance(synapse, DelayedDense) else [0]
        self._reach = max(delays) + self._late
        self._past: Tensor | None = None
        self.carried = Carried(
            np.zeros((2, batch, layer.neurons), dtype=layer.endless_dtype),
            np.zeros((batch, layer.neurons), dtype=np.uint8),
        )

    def source(self, signal: Tensor) -> Tensor:
        """What the layer sees: the chunk, earlier steps that still arrive before it.

        On the global clock everything is one step late.
        """
        if not self._reach:
            return signal
        if self._past is None:
            self._past = signal.new_zeros((len(signal), self._reach, signal.shape[2]))
        whole = torch.cat([self._past, signal], 1)
        self._past = whole[:, -self._reach :].clone()
        return whole[:, : whole.shape[1] - self._late]

    def remember(self, spikes: Tensor) -> None:
        """Keep the last step's spikes for a recurrent layer."""
        if self.layer.feedback is not None:
            self.carried.spikes[:] = spikes[:, -1].numpy()
