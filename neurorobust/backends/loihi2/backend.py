"""A Loihi 2 board, through Lava's private extension: **untested on hardware**.

No board was at hand when this was written. Everything above the private package is tested with a
stand-in of its public surface; what a board adds to that, nobody here has seen. Every result says
so. `probe` says what is needed, `network` what is done, `calibration` how the
latency is measured. The board is driven from a worker process, which gives it back when it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurorobust.backends.hosted.backend import HostedBackend, require_lava
from neurorobust.backends.loihi2.probe import probe
from neurorobust.backends.loihi2.worker import PATIENCE
from neurorobust.errors import ModelFileError
from neurorobust.fixedpoint import cast_bias, lif_step
from neurorobust.netx.model import (
    DenseLayer,
    InputLayer,
    NetxModel,
    RecurrentLayer,
    SpikingLayer,
)

UNTESTED = "untested on hardware: no board was at hand when this code was written"
TIMEOUT = 1800.0  # seconds
_WARM_UP = 32  # steps that the input adapter may add before data arrive
_RECYCLE_BATCHES, _RECYCLE_GROWTH_MIB = 1 << 30, 1 << 20  # a worker keeps its board


class Loihi2Backend(HostedBackend):
    """Runs a network on a Loihi 2 board, on the aligned clock.

    A context manager. The board that the environment asks for (see `probe`) is taken for
    each batch and given back after it. Spikes are those of the chip; v is read after every step and
    set to 0 where the neuron spiked, for the chip shows its refractory mark there.

    Resets clear u and v, not what synapses hold. So networks with delays or recurrent layers are
    loaded anew for each sample; and they are refused where biased neurons spike by themselves in
    the steps before data arrive, for such spikes would reach into the sample.

    Args:
        model: the network.
        timeout: seconds that one batch (up to 256 samples) may take, compilation included.
        on_sample: called with (samples done, samples in all) while a batch runs.

    Raises:
        HardwareUnavailable: no board can be asked for; names the probe that failed.
        ModelFileError: a network that the chip's resets cannot keep apart, or beyond its ranges.

    Example:
        >>> from neurorobust.netx import read
        >>> with Loihi2Backend(read("model.net")) as backend:
        ...     run = backend.run(spikes)
        >>> run.spikes.shape
        torch.Size([8, 4, 12])
    """

    name = "loihi2"
    about = "a Loihi 2 board, through a path that is untested on hardware"
    module = "neurorobust.backends.loihi2.worker"
    patience = PATIENCE

    def __init__(
        self,
        model: NetxModel,
        timeout: float = TIMEOUT,
        on_sample: Callable[[int, int], None] | None = None,
    ) -> None:
        require_lava()
        self.board = probe()
        fresh = any(_keeps(layer) for layer in model.spiking_layers)
        _check_warm_up(model)
        super().__init__(
            model,
            timeout,
            on_sample,
            1,
            0,
            [int(fresh)],
            _RECYCLE_BATCHES,
            _RECYCLE_GROWTH_MIB,
        )

    def measured(self) -> dict[str, Any]:
        """The board, latencies, interval, power, time and activity of the last batch; and times."""
        return {
            **super().measured(),
            "board": str(self.board),
            **self._pool.report,
            "note": UNTESTED,
        }


def _keeps(layer: SpikingLayer) -> bool:
    """Whether a layer's synapses hold spikes from one step for later ones."""
    delayed = isinstance(layer, DenseLayer) and layer.delay is not None and bool(layer.delay.any())
    return delayed or isinstance(layer, RecurrentLayer)


def _check_warm_up(model: NetxModel) -> None:
    """Refuse spikes of biased neurons from before the data, where later steps would feel them."""
    restless: SpikingLayer | None = None
    for depth, layer in enumerate(model.spiking_layers):
        if isinstance(layer, InputLayer):
            continue
        before = restless
        if restless is None and _spikes_alone(layer, depth + _WARM_UP):
            restless = layer
        source = restless if isinstance(layer, RecurrentLayer) else before
        if source is not None and _keeps(layer):
            raise ModelFileError(
                f"layer {source.number} ({source.kind}): spikes from its bias before data arrive, "
                f"and layer {layer.number} ({layer.kind}) keeps such spikes for later steps, which "
                "a board does not clear: run it on lava"
            )


def _spikes_alone(layer: SpikingLayer, steps: int) -> bool:
    """Whether a neuron of the layer spikes within so many steps of silence."""
    neuron, bias = layer.neuron, getattr(layer, "bias", None)
    if neuron is None or bias is None:
        return False
    shape = (layer.shape[0],)
    given = [
        np.broadcast_to(np.asarray(values, dtype=np.int64).reshape(-1), shape)
        for values in (neuron.current_decay, neuron.voltage_decay, neuron.threshold)
    ]
    u = v = silence = np.zeros(shape, dtype=np.int64)
    drive = cast_bias(np.broadcast_to(np.asarray(bias, dtype=np.int64).reshape(-1), shape))
    for _ in range(steps):
        spikes, u, v = lif_step(u, v, silence, drive, *given)
        if spikes.any():
            return True
    return False
