"""The different spike trains that each pixel of an image can make inside an L-infinity ball."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neurorobust.attacks.annealing.follow import spike_words
from neurorobust.backends.engine.loops import Array
from neurorobust.budgets import ImageBudget, project
from neurorobust.classifier import Classifier
from neurorobust.fixedpoint import cast_bias, lif_step
from neurorobust.netx.model import NetxModel

LEVELS = 257  # of each pixel, evenly over what the ball allows, that are tried for its choices


@dataclass(frozen=True)
class Choices:
    """Of one image. Pixels are in C, H, W order.

    Attributes:
        starts: int64 `[pixels + 1]`; pixel n has the choices `starts[n]` to `starts[n + 1]`, from
            the darkest to the brightest.
        words: uint64; the spikes that each makes.
        values: float32; a pixel that makes them.
        level: int64 `[LEVELS, pixels]`; the choice that each level makes.
        low, high: float32 `[pixels]`; the ball.
    """

    starts: Array
    words: Array
    values: Array
    level: Array
    low: Array
    high: Array

    def nearest(self, image: Tensor) -> Array:
        """The choices of an image inside the ball, to `LEVELS` levels."""
        low = self.low.astype(np.float64)
        span = np.maximum(self.high - low, 1e-12)
        level = np.rint((image.flatten().numpy() - low) / span * (LEVELS - 1)).astype(np.int64)
        found: Array = self.level[level.clip(0, LEVELS - 1), np.arange(len(level))]
        return found

    def image(self, chosen: Array, shape: tuple[int, ...]) -> Tensor:
        """Float32 `shape`, of one choice a pixel."""
        return torch.from_numpy(self.values[chosen].reshape(shape))


def choices(classifier: Classifier, image: Tensor, budget: ImageBudget) -> Choices:
    """All that `LEVELS` levels of each pixel do.

    Args:
        classifier: whose encoder draws nothing.
        image: float32 `[C, H, W]`.
        budget: L-infinity.
    """
    own = image[None]
    low, high = (
        project(own + side * 2 * budget.epsilon, own, budget)[0][0].flatten().numpy()
        for side in (-1, 1)
    )
    share = np.linspace(0, 1, LEVELS)[:, None]
    values = (low + (high.astype(np.float64) - low) * share).astype(np.float32).clip(low, high)
    made = input_words(classifier, torch.from_numpy(values.reshape(LEVELS, *image.shape)))
    starts, words, kept = [0], [], []
    level = np.zeros(made.shape, np.int64)
    for pixel in range(made.shape[1]):
        _, first, of = np.unique(made[:, pixel], return_index=True, return_inverse=True)
        places = np.sort(first)
        level[:, pixel] = starts[-1] + np.argsort(np.argsort(first))[of]
        words.append(made[places, pixel])
        kept.append(values[places, pixel])
        starts.append(starts[-1] + len(places))
    return Choices(
        np.array(starts, np.int64), np.concatenate(words), np.concatenate(kept), level, low, high
    )


def input_words(classifier: Classifier, images: Tensor) -> Array:
    """Spikes that reach the first synapse: uint64 `[batch, inputs]`, in C, H, W order."""
    inputs = classifier.encoder.encode(images)
    if not inputs.driven:
        return spike_words(inputs.values.flatten(1, 3))
    drive = cast_bias(inputs.values.numpy())
    levels, place = np.unique(drive, return_inverse=True)
    trains = _driven(classifier.backend.model, levels, inputs.steps)
    channel = np.arange(drive.shape[1])[None, :, None, None]
    found: Array = trains[channel, place.reshape(drive.shape)]
    return found.reshape(len(images), -1)


def _driven(model: NetxModel, levels: Array, steps: int) -> Array:
    """What input neurons make of each drive: uint64 `[channels, levels]`."""
    layer = model.input_layer
    assert layer is not None, "drive goes into an input layer"
    assert layer.neuron is not None, "of neurons"
    neuron, shape = layer.neuron, (layer.shape[0], len(levels))

    def spread(values: object) -> Array:
        return np.broadcast_to(np.asarray(values, np.int64).reshape(-1, 1), shape)

    decays = spread(neuron.current_decay), spread(neuron.voltage_decay)
    u = v = np.zeros(shape, np.int64)
    words = np.zeros(shape, np.uint64)
    for step in range(steps):
        nothing, drive = np.zeros(shape, np.int64), np.broadcast_to(levels, shape)
        spikes, u, v = lif_step(u, v, nothing, drive, *decays, spread(neuron.threshold))
        words |= spikes.astype(np.uint64) << np.uint64(step)
    return words
