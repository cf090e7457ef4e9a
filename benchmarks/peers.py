"""The same network in the libraries people train spiking networks with, for a training step each.

784-512-512-10 (or any sizes), no bias, every neuron leaky with a reset to zero where the library
has it, and each library's own common neuron otherwise. Each peer is used the fastest way it
documents: all steps of a layer at once where it has multi-step layers; the product of all steps at
once before the loop over time where its neuron takes one step at a time.
"""

from __future__ import annotations

import abc
import contextlib
import io
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from networks import CURRENT_DECAY, VOLTAGE_DECAY
from torch import Tensor, nn

from neurorobust.fixedpoint import DECAY_UNITY
from neurorobust.netx.model import DenseLayer, NetxModel
from neurorobust.surrogates import Surrogate

SLAYER_SCALE = 64  # SLAYER's weights and thresholds are Lava's over it
SURROGATE = Surrogate("fast-sigmoid", 1.0)


class Peer(abc.ABC):
    """A library's network.

    Attributes:
        weights: one `[out, in]` parameter a layer.
    """

    weights: list[Tensor]

    def layout(self, spikes: Tensor) -> Tensor:
        """Float32 `[batch, time, inputs]` -> what the library wants, contiguous; not timed."""
        return spikes.transpose(0, 1).contiguous()  # [time, batch, inputs]

    @abc.abstractmethod
    def layers(self, x: Tensor) -> list[Tensor]:
        """Every layer's spikes, time first."""

    def rate(self, last: Tensor) -> Tensor:
        """`[batch, outputs]` of the last layer's spikes."""
        return last.mean(0)

    def step(self, x: Tensor) -> Tensor:
        """A training step without optimiser: forward, a loss, gradients of all weights."""
        for weight in self.weights:
            weight.grad = None
        rate = self.rate(self.layers(x)[-1])
        loss(rate).backward()
        return rate


def loss(rate: Tensor) -> Tensor:
    """Any smooth function of the rates."""
    return (rate * rate).sum()


class Stacked(Peer):
    """A product and a neuron a layer; `make` gives what runs a neuron over `[time, batch, n]`."""

    def __init__(self, sizes: tuple[int, ...], make: Callable[[], Callable[[Tensor], Tensor]]):
        torch.manual_seed(0)
        self.linears = [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes)]
        self.neurons = [make() for _ in self.linears]
        self.weights = [linear.weight for linear in self.linears]
        with torch.no_grad():
            for weight in self.weights:
                weight.normal_(0, weight.shape[1] ** -0.5)

    def layers(self, x: Tensor) -> list[Tensor]:
        """See `Peer.layers`."""
        answers = []
        for linear, neuron in zip(self.linears, self.neurons, strict=True):
            x = neuron(linear(x))
            answers.append(x)
        return answers


def snntorch(sizes: tuple[int, ...]) -> Peer:
    """Leaky, reset to zero, fast sigmoid."""
    import snntorch as snn
    from snntorch import surrogate

    def make() -> Callable[[Tensor], Tensor]:
        beta = 1 - VOLTAGE_DECAY / DECAY_UNITY
        slope = surrogate.fast_sigmoid()
        leaky = snn.Leaky(beta=beta, spike_grad=slope, reset_mechanism="zero")

        def run(x: Tensor) -> Tensor:
            membrane, answers = leaky.init_leaky(), []
            for step in x:
                spikes, membrane = leaky(step, membrane)
                answers.append(spikes)
            return torch.stack(answers)

        return run

    return Stacked(sizes, make)


def spikingjelly(sizes: tuple[int, ...]) -> Peer:
    """LIFNode, multi-step, torch backend, arc tangent, hard reset."""
    with contextlib.redirect_stdout(io.StringIO()):
        from spikingjelly.activation_based import functional, neuron, surrogate

    def make() -> Callable[[Tensor], Tensor]:
        node = neuron.LIFNode(
            tau=DECAY_UNITY / VOLTAGE_DECAY,
            decay_input=False,
            surrogate_function=surrogate.ATan(),
            step_mode="m",
            backend="torch",
        )

        def run(x: Tensor) -> Tensor:
            functional.reset_net(node)
            answer: Tensor = node(x)
            return answer

        return run

    return Stacked(sizes, make)


def norse(sizes: tuple[int, ...]) -> Peer:
    """LIF (current and voltage), its default surrogate (SuperSpike)."""
    import norse.torch as norse_torch

    def make() -> Callable[[Tensor], Tensor]:
        parameters = norse_torch.LIFParameters(
            tau_syn_inv=torch.tensor(1000 * CURRENT_DECAY / DECAY_UNITY),
            tau_mem_inv=torch.tensor(1000 * VOLTAGE_DECAY / DECAY_UNITY),
        )
        lif = norse_torch.LIF(parameters)

        def run(x: Tensor) -> Tensor:
            answer: Tensor = lif(x)[0]
            return answer

        return run

    return Stacked(sizes, make)


class Slayer(Peer):
    """lava-dl's CUBA dense blocks with the exact network's weights: the same integers."""

    def __init__(self, model: NetxModel) -> None:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from lava.lib.dl import slayer

            self.blocks = []
            for layer in model.layers:
                assert isinstance(layer, DenseLayer)
                assert layer.neuron is not None
                parameters = {
                    "threshold": int(layer.neuron.threshold.flat[0]) / SLAYER_SCALE,
                    "current_decay": CURRENT_DECAY / DECAY_UNITY,
                    "voltage_decay": VOLTAGE_DECAY / DECAY_UNITY,
                    "requires_grad": False,
                }
                outputs, inputs = layer.weight.shape
                block = slayer.block.cuba.Dense(parameters, inputs, outputs, delay_shift=False)
                with torch.no_grad():
                    held = torch.from_numpy(layer.weight.astype(np.float32)) / SLAYER_SCALE
                    block.synapse.weight.copy_(held.view_as(block.synapse.weight))
                self.blocks.append(block)
        self.weights = [block.synapse.weight for block in self.blocks]

    def layout(self, spikes: Tensor) -> Tensor:
        """`[batch, inputs, time]`."""
        return spikes.transpose(1, 2).contiguous()

    def layers(self, x: Tensor) -> list[Tensor]:
        """See `Peer.layers`; here time is last."""
        answers = []
        for block in self.blocks:
            x = block(x)
            answers.append(x)
        return answers

    def rate(self, last: Tensor) -> Tensor:
        """See `Peer.rate`."""
        return last.mean(-1)


@contextmanager
def slayer_surrogate() -> Iterator[None]:
    """SLAYER with `SURROGATE` in place of its exponential, for a comparison of gradients."""
    from lava.lib.dl.slayer.spike import spike

    theirs = spike._spike_backward

    def ours(voltage: Tensor, threshold: Tensor, *_: Any) -> Tensor:
        theta = torch.floor(threshold * SLAYER_SCALE) / SLAYER_SCALE  # without SLAYER's epsilon
        slope = 1 / (SURROGATE.width * theta)
        return SURROGATE.derivative((voltage - theta) * slope) * slope

    spike._spike_backward = ours
    try:
        yield
    finally:
        spike._spike_backward = theirs


def tune(peer: Peer, x: Tensor, rate: float) -> None:
    """Scale the weights, layer after layer, until each fires at `rate`."""
    for number, weight in enumerate(peer.weights):
        original = weight.detach().clone()
        low, high = 1e-3, 1e3
        with torch.no_grad():
            for _ in range(24):
                middle = (low * high) ** 0.5
                weight.copy_(original * middle)
                fired = float(peer.layers(x)[number].mean())
                low, high = (low, middle) if fired > rate else (middle, high)


def rates(peer: Peer, x: Tensor) -> list[float]:
    """How often the neurons of each layer fire a step."""
    with torch.no_grad():
        return [round(float(spikes.mean()), 3) for spikes in peer.layers(x)]


PEERS: dict[str, Callable[[tuple[int, ...]], Peer]] = {
    "snntorch": snntorch,
    "spikingjelly": spikingjelly,
    "norse": norse,
}
