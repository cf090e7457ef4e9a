"""Lava's own process models, told by a clock where a sample begins, so that samples cannot mix.

Every model here *is* Lava's: its `run_spk` is inherited and called as it stands. Around it two
things are done (the clock and its gaps are explained in `hosted.exchange`):

- After the gap step the model forgets: u and v of a neuron, the buffered activation of a synapse
  (all columns of a DelayDense too) become 0. Nothing crosses from one sample to the next,
  whatever biases, delays and leftover currents did in the gap or while the pipeline filled.
- After every other step a neuron that is recorded copies its spikes, u and v to the exchange.

Why that is exact: a neuron forgets in the step before its first step of data, so it starts from u
= v = 0 whatever its bias did. A synapse forgets after the step in which it received its source's
gap; in the next step its neuron has its gap and it receives the sample's first spikes; these
alone are in it when its neuron's first step of data comes. A recurrent synapse is fed by that
neuron: it forgets after the neuron's gap, and sends nothing in the neuron's first step of data.
The same holds at the end: what the last step left behind is forgotten before anything of the next
sample arrives, delayed events included.

Why not Lava's `LIFReset`: it clears u and v only, so that buffered and delayed activation leaks
into the next sample, and its interval is fixed when the network is compiled.
"""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from neurorobust.backends.hosted.exchange import Array, Clock
from neurorobust.backends.hosted.serving import FAILURE_FILE


class Timed:
    """What the timed models share. Lava calls `run_spk` once a time step."""

    proc_params: Any  # holds the process's `clock`
    lava: Any  # the class of Lava's model that is inherited beside this one

    def run_spk(self) -> None:
        """Tell `step` where in the batch this step lies. Lava hides errors; the log shows them."""
        clock: Clock = self.proc_params["clock"]
        try:
            self.step(clock, *clock.tick())
        except Exception as error:  # noted and raised again: Lava would swallow it
            traceback.print_exc()
            with contextlib.suppress(FileExistsError), Path(FAILURE_FILE).open("x") as file:
                file.write(f"{type(error).__name__}: {error}")
            raise

    def step(self, clock: Clock, sample: int, step: int) -> None:
        """One time step; step -1 is the gap before the sample."""
        raise NotImplementedError  # not an ABC: the metaclass is that of Lava's class


class TimedSource(Timed):
    """`PySendModelFixed` (a spike source) that sends a batch instead of its own buffer."""

    data: Array
    s_out: Any

    def step(self, clock: Clock, sample: int, step: int) -> None:
        """Send the step's spikes; nothing in the gap and when all samples are sent."""
        column = np.zeros(self.data.shape[:-1], dtype=np.int32)
        if step >= 0 and clock.holds(sample):
            column.reshape(-1)[:] = clock.exchange.arrays["input"][sample, step]
        self.s_out.send(column)


class TimedSynapse(Timed):
    """Lava's dense, delayed, sparse or convolution, that forgets after its source's gap."""

    def step(self, clock: Clock, sample: int, step: int) -> None:
        """Lava's step; then forget, if it was the gap."""
        self.lava.run_spk(self)
        if step < 0:
            buffer = "a_buff" if hasattr(self, "a_buff") else "a_buf"
            getattr(self, buffer)[...] = 0


class TimedNeuron(Timed):
    """`PyLifModelBitAcc` that forgets after the gap, takes its drive there, and shows its state."""

    u: Array
    v: Array
    bias_mant: Array
    s_out_buff: Array

    def step(self, clock: Clock, sample: int, step: int) -> None:
        """Lava's step; then show it, or forget and take the next drive, if it was the gap."""
        self.lava.run_spk(self)
        if step >= 0:
            if clock.holds(sample):
                self._show(clock, sample, step)
            return
        self.u[...] = 0
        self.v[...] = 0
        if self.proc_params["driven"] and clock.holds(sample):
            self.bias_mant.reshape(-1)[:] = clock.exchange.arrays["input"][sample]

    def _show(self, clock: Clock, sample: int, step: int) -> None:
        arrays, index = clock.exchange.arrays, self.proc_params["index"]
        if f"{index}/u" in arrays:
            arrays[f"{index}/spikes"][sample, step] = self.s_out_buff.reshape(-1)
            arrays[f"{index}/u"][sample, step] = self.u.reshape(-1)
            arrays[f"{index}/v"][sample, step] = self.v.reshape(-1)
        if self.proc_params["last"]:
            arrays["spikes"][sample, step] = self.s_out_buff.reshape(-1)
            if step == clock.exchange.steps - 1:
                arrays["membrane"][sample] = self.v.reshape(-1)


def timed_models() -> dict[type, type]:
    """Lava's process class -> the timed model, for `exception_proc_model_map`. Imports Lava."""
    from lava.proc.conv.models import PyConvModelFixed
    from lava.proc.conv.process import Conv
    from lava.proc.dense.models import PyDelayDenseModelBitAcc, PyDenseModelBitAcc
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.io.source import PySendModelFixed, RingBuffer
    from lava.proc.lif.models import PyLifModelBitAcc
    from lava.proc.lif.process import LIF
    from lava.proc.sparse.models import PyDelaySparseModelBitAcc, PySparseModelBitAcc
    from lava.proc.sparse.process import DelaySparse, Sparse

    pairs = (
        (RingBuffer, TimedSource, PySendModelFixed),
        (LIF, TimedNeuron, PyLifModelBitAcc),
        (Dense, TimedSynapse, PyDenseModelBitAcc),
        (DelayDense, TimedSynapse, PyDelayDenseModelBitAcc),
        (Sparse, TimedSynapse, PySparseModelBitAcc),
        (DelaySparse, TimedSynapse, PyDelaySparseModelBitAcc),
        (Conv, TimedSynapse, PyConvModelFixed),
    )
    return {
        process: type(f"Timed{lava.__name__}", (mixin, lava), {"lava": lava})
        for process, mixin, lava in pairs
    }
