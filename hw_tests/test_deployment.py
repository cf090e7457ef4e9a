"""What every deployment of a network must do, on whatever target it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neurorobust import files, models, targets
from neurorobust.backends.base import Backend
from neurorobust.models import Network
from neurorobust.types import Drive, Inputs, Run

SAMPLES = 8


def _golden_inputs(golden: Path, prefix: str = "") -> tuple[Inputs, dict[str, np.ndarray]]:
    """The inputs under a prefix, drive or spikes, and all arrays there, named without it."""
    arrays = {
        key.removeprefix(prefix): value for key, value in files.read_npz(golden, prefix).items()
    }
    if "drive" in arrays:
        return Drive(torch.from_numpy(arrays["drive"]), int(arrays["steps"])), arrays
    return torch.from_numpy(arrays["input"]), arrays


def _random_inputs(network: Network, seed: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    shape = (SAMPLES, *network.model.input_shape)
    encoder = models.encoder(network.card, network.model)
    if encoder.domain == "images":
        return encoder.encode(torch.rand(shape, generator=generator), generator)
    spikes = torch.rand((*shape, network.card.steps), generator=generator) < 0.2
    return spikes.to(torch.uint8)


def _part(inputs: Inputs, chosen: list[int]) -> Inputs:
    if isinstance(inputs, Drive):
        return Drive(inputs.bias_mant[chosen], inputs.steps)
    return inputs[chosen]


def _equal(first: Run, second: Run) -> None:
    assert torch.equal(first.spikes, second.spikes)
    assert torch.equal(first.membrane, second.membrane)


@pytest.mark.parametrize("prefix", ["", "adversarial/"], ids=["clean", "adversarial"])
def test_golden_spikes_of_every_layer(
    network: Network, target: Backend, golden: Path, prefix: str
) -> None:
    inputs, arrays = _golden_inputs(golden, prefix)
    driven = isinstance(inputs, Drive)
    layers = [layer.number for layer in network.model.spiking_layers if driven or layer.number]
    run = target.run(inputs, record=layers)
    assert arrays["spikes"].sum() > 0
    assert np.array_equal(run.spikes.numpy(), arrays["spikes"])
    assert np.array_equal(run.membrane.numpy(), arrays["membrane"])
    for number in layers:
        for what in ("spikes", "u", "v"):
            found = getattr(run.layers[number], what).numpy()
            assert np.array_equal(found, arrays[f"layer{number}/{what}"]), (number, what)


def test_golden_labels(network: Network, target: Backend, golden: Path) -> None:
    inputs, arrays = _golden_inputs(golden)
    found = models.readout(network.card).labels(target.run(inputs))
    right = int((found.numpy() == arrays["label"]).sum())
    assert right >= 0.8 * len(arrays["label"])


def test_the_same_twice(network: Network, target: Backend) -> None:
    """No state outlives a run."""
    inputs = _random_inputs(network, 1)
    _equal(target.run(inputs), target.run(inputs))


def test_order_of_samples_does_not_matter(network: Network, target: Backend) -> None:
    """No sample leaks into the next: reversed, the answers are reversed."""
    inputs = _random_inputs(network, 2)
    backwards = list(range(SAMPLES))[::-1]
    run = target.run(inputs)
    turned = target.run(_part(inputs, backwards))
    assert torch.equal(run.spikes[backwards], turned.spikes)
    assert torch.equal(run.membrane[backwards], turned.membrane)


def test_a_sample_alone_and_in_company(network: Network, target: Backend) -> None:
    inputs = _random_inputs(network, 3)
    whole = target.run(inputs)
    alone = target.run(_part(inputs, [SAMPLES - 1]))
    assert torch.equal(whole.spikes[SAMPLES - 1 :], alone.spikes)
    assert torch.equal(whole.membrane[SAMPLES - 1 :], alone.membrane)


@pytest.mark.parametrize("seed", [4, 5])
def test_the_reference_agrees(network: Network, target: Backend, seed: int) -> None:
    """On inputs nobody chose."""
    inputs = _random_inputs(network, seed)
    with targets.open_backend("reference", network.model) as reference:
        wanted = reference.run(inputs)
    assert int(wanted.spikes.sum()) + int(wanted.membrane.abs().sum()) > 0
    _equal(target.run(inputs), wanted)
