"""What every backend is: bound to one model, fed spikes or drive, answering on one of two clocks.

Aligned clock: column k of every layer is its answer to input column k, with state zero before
column 0; the backend hides latency, resets and padding.

Global clock: column k of every layer is its state after Lava's step k + 1. Every synapse (but an
on-chip input layer has none) adds one step of latency and nothing is reset, so that layers with a
bias integrate it before any data come.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch

from neurorobust.errors import BadInput
from neurorobust.netx.model import NetxModel
from neurorobust.surrogates import Backward
from neurorobust.types import Inputs, Run

Clock: TypeAlias = Literal["aligned", "global"]
ALIGNED: Literal["aligned"] = "aligned"
GLOBAL: Literal["global"] = "global"
CLOCKS: tuple[Clock, ...] = (ALIGNED, GLOBAL)


@runtime_checkable
class Backend(Protocol):
    """Something that runs one network.

    Attributes:
        name: in records, and where it is registered (`backends.registry`).
        about: what computes the answers, for records: "a Loihi 2 board, ...".
        query_batch: samples that one query of an attack may hold: enough to keep it busy, few
            enough to be answered in seconds.
        model: the network.
    """

    name: str
    about: str
    query_batch: int
    model: NetxModel

    def run(self, inputs: Inputs, record: Collection[int] = (), clock: str = ALIGNED) -> Run:
        """Run a batch.

        Args:
            inputs: spikes uint8 `[batch, *model.input_shape, time]` for the first synapse (an
                on-chip input layer before it is skipped), or drive for the on-chip input layer.
                Our own backends take a bare tensor of spikes too (`Inputs.of`).
            record: numbers (in the file) of the layers whose spikes, u and v are wanted.
            clock: `aligned` or `global`.

        Raises:
            BadInput: shape, dtype or value does not fit the model; or a clock that this target
                does not have.
            BackendError: the target failed or timed out.
        """
        ...

    def measured(self) -> dict[str, Any]:
        """What it tells of its runs so far (times, board, power), in words and numbers."""
        ...

    def close(self) -> None:
        """Give back what it holds (worker processes, a board); a later run may take it again."""
        ...


@runtime_checkable
class DifferentiableBackend(Backend, Protocol):
    """A target that also passes gradients."""

    def forward(self, inputs: Inputs, surrogate: Backward) -> Run:
        """`run` on floats that hold exact 0/1 spikes or integer drive; the result has gradients.

        Raises:
            BadInput: anything fractional, or spikes other than 0 and 1.
        """
        ...


class InProcess:
    """A backend that computes in this process: nothing to close, nothing to tell of its runs."""

    def measured(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def close(self) -> None:
        """Nothing to give back."""


def check_inputs(model: NetxModel, inputs: Inputs) -> None:
    """Refuse inputs that do not fit the model, naming the tensor, its value and the limit.

    Accepts integer tensors (`run`) and float tensors with integral values (`forward`).
    """
    if inputs.driven and model.input_layer is None:
        raise BadInput("drive: the network has no on-chip input layer, give it spikes")
    values = inputs.values.detach()
    given = tuple(values.shape[1:4])
    if given != model.input_shape:
        raise BadInput(
            f"{inputs.kind}: shape {given} does not match the network's input {model.input_shape} "
            "(C, H, W)"
        )
    _check_integral(inputs.kind, values)
    low, high = _range(values)
    if inputs.driven and (low < -(1 << 15) or high >= 1 << 15):
        worst = low if low < -(1 << 15) else high
        raise BadInput(f"drive: bias_mant {worst:g} outside [-32768, 32767] (int16 in Lava)")
    if not inputs.driven and (low < 0 or high > 1):
        raise BadInput(f"spikes: value {low if low < 0 else high:g} is neither 0 nor 1")


def _check_integral(name: str, values: torch.Tensor) -> None:
    if not values.is_floating_point() or not bool(torch.frac(values).any()):
        return  # frac is one fast pass; infinities and NaN have one that is NaN
    if not bool(torch.all(values == torch.trunc(values))):
        fractional = values[values != torch.trunc(values)][0].item()
        raise BadInput(f"{name}: value {fractional} is not an integer")


def _range(values: torch.Tensor) -> tuple[float, float]:
    if values.numel() == 0:
        return 0.0, 0.0
    low, high = torch.aminmax(values)  # one pass
    return float(low), float(high)


def check_record(model: NetxModel, record: Collection[int]) -> None:
    """Refuse layer numbers that hold no neurons."""
    known = [layer.number for layer in model.spiking_layers]
    for number in record:
        if number not in known:
            raise BadInput(f"record: layer {number} holds no neurons, layers that do: {known}")


def check_clock(clock: str, backend: str = "", known: Collection[str] = CLOCKS) -> None:
    """Refuse a clock that does not exist, or that `backend` does not have."""
    if clock not in CLOCKS:
        raise BadInput(f"clock: {clock!r} unknown, known: {', '.join(CLOCKS)}")
    if clock not in known:
        raise BadInput(f"clock: {clock!r} is not run by {backend}, use reference or engine")


def neurons(shape: tuple[int, ...]) -> int:
    """Neurons in a layer of this shape."""
    return math.prod(shape)
