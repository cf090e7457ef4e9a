"""One layer as the engine computes it: data, without the planner that makes it.

Inside the engine tensors are `[batch, time, neurons]` and neurons are in H, W, C order, so that a
convolution's channels-last output needs no copy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from neurorobust.backends.base import neurons
from neurorobust.backends.engine.arithmetic import Arithmetic
from neurorobust.backends.engine.memory import Memory
from neurorobust.backends.engine.synapses import Feedback, Synapse
from neurorobust.fixedpoint import DECAY_UNITY, STATE_LIMIT, STATE_SHIFT
from neurorobust.netx.model import Shape

FloatArray: TypeAlias = npt.NDArray[np.float64]
AnyArray: TypeAlias = npt.NDArray[Any]
THETA_LIMIT = 2.0 * STATE_LIMIT  # the forward kernels cut thresholds there: |v| < 2^23
INT32_SAFE = (1 << 31) - 2 * STATE_LIMIT  # below it neither u nor decayed v + u + bias leaves int32
BLOCK = 1024  # neurons that are carried through all steps together: they stay in the L1 cache


def block_neurons(channels: int) -> int:
    """About `BLOCK`, a multiple of the channels: then one block's constants are every block's."""
    return max(BLOCK // channels * channels, channels)


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """One layer with neurons.

    Attributes:
        number: place in the file.
        kind: type in the file.
        shape: C, H, W.
        synapse: its weighted sums; None for the on-chip input layer.
        kept: float64 `[2, neurons]`: what a step keeps of u and of v, (4096 - decay) / 4096, exact.
        theta: float64 `[neurons]`: vThMant << 6.
        bias: float64 `[1, neurons]`: bias_mant << 6 after the cast to int16.
        arithmetic: how the sums are taken; None for the on-chip input layer.
        memory: what a step takes.
        feedback: what its spikes add to its own sums one step later, if it is recurrent.
    """

    number: int
    kind: str
    shape: Shape
    synapse: Synapse | None
    kept: FloatArray
    theta: FloatArray
    bias: FloatArray
    arithmetic: Arithmetic | None
    memory: Memory
    feedback: Feedback | None = None
    _constants: dict[str, tuple[Hashable, AnyArray]] = field(default_factory=dict)

    @functools.cached_property
    def scale(self) -> np.float32:
        """2^-shift of the sums; a recurrent layer's are shifted where they meet."""
        shift = self.synapse.shift if self.synapse and not self.feedback else 0
        return np.float32(2.0**-shift)

    @property
    def activation(self) -> int:
        """No |a| that reaches a neuron exceeds it."""
        return sum(part.proof.activation for part in (self.synapse, self.feedback) if part)

    def constants(self, dtype: npt.DTypeLike) -> AnyArray:
        """`[4, neurons]`: what a step keeps of u and v, times 4096; theta within ±2^24; bias.

        All repeat with the channels: of a large convolution one block is enough.
        """
        found = self._constants.get("forward")
        if found is not None and found[0] == dtype:
            return found[1]

        def make() -> AnyArray:
            theta = np.clip(self.theta, -THETA_LIMIT, THETA_LIMIT)
            rows = (*(self.kept * DECAY_UNITY), theta, self.bias[0])
            repeats = self.shape[1] * self.shape[2] > 1
            end = block_neurons(self.shape[0]) if repeats else self.neurons
            made: AnyArray = np.stack(rows)[:, :end].astype(dtype)
            return made

        return self.noted("forward", np.dtype(dtype), make)

    def noted(self, what: str, settings: Hashable, make: Callable[[], AnyArray]) -> AnyArray:
        """What `make` made when it was last asked with these settings; never of the weights."""
        found = self._constants.get(what)
        if found is None or found[0] != settings:
            found = self._constants[what] = settings, make()
        return found[1]

    def state_dtype(self, steps: int) -> npt.DTypeLike:
        """The type in which the neurons' arithmetic is exact (see `lif_cpu`)."""
        if self.activation <= STATE_LIMIT >> STATE_SHIFT:
            return np.float32
        return np.int64 if self.leaves_int32(steps) else np.float64

    @property
    def endless_dtype(self) -> npt.DTypeLike:
        """`state_dtype` for any number of steps."""
        drifts = self.activation << STATE_SHIFT > 2 * STATE_LIMIT
        return np.int64 if drifts else self.state_dtype(1)

    @functools.cached_property
    def neurons(self) -> int:
        """Neurons of the layer."""
        return neurons(self.shape)

    @functools.cached_property
    def never_wraps(self) -> bool:
        """Whether its neurons take a shorter step: no shift of sums, and u cannot wrap.

        u <- trunc(u k) + 64 a keeps |u| < 64 max|a| / (1 - k) for ever, from zero on.
        """
        lifted, kept = self.activation << STATE_SHIFT, float(self.kept[0].max())
        return self.scale == 1 and self.synapse is not None and lifted < STATE_LIMIT * (1 - kept)

    def leaves_int32(self, steps: int) -> bool:
        """Whether u may come near ±2^31 within so many steps, where Lava's int32 variables wrap.

        Wrapping takes 2^24 off a step's input, so only an input beyond it makes u drift outwards.
        """
        kept, lifted = float(self.kept[0].max()), self.activation << STATE_SHIFT
        peak = float(STATE_LIMIT)
        for _ in range(steps):
            reached = peak * kept + lifted
            if reached >= INT32_SAFE:
                return True
            wrapped = max(float(STATE_LIMIT), reached - 2 * STATE_LIMIT)
            if wrapped <= peak:
                return False
            peak = wrapped
        return False
