"""Networks trained with `delay_shift`: lava-dl's latency of one step a layer."""

import warnings

import pytest
import torch

from neurorobust.assess.alignment import alignment
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.lava.backend import LavaBackend
from neurorobust.backends.parity import VARIABLES, parity
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.slayer.backend import SlayerBackend
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.encoders import DirectEncoder
from neurorobust.errors import BadInput
from neurorobust.networks import adopt
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.readouts import Readout

pytest.importorskip("lava.lib.dl", reason="lava-dl is not installed")
pytestmark = pytest.mark.lava

SHAPE = (2, 6, 5)


@pytest.fixture
def shifted(tutorial, conv, dense):
    """`shifted(norm)`: three layers, each a step late, warmed up in training mode."""

    def make(norm=None, seed=0):
        torch.manual_seed(seed)
        neuron = {"norm": norm}
        network = tutorial(
            conv(2, 4, neuron, delay_shift=True),
            import_slayer().block.cuba.Flatten(),
            dense(36, 10, neuron, delay_shift=True),
            dense(10, 4, neuron, delay_shift=True),
        )
        network.train()(spikes(8).float())
        return network.eval()

    return make


def spikes(batch=6, steps=20, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((batch, *SHAPE, steps), generator=generator) < 0.3).to(torch.uint8)


def test_without_biases_it_only_moves_spikes_and_is_switched_off(shifted):
    network = shifted()
    slayer = SlayerBackend(adopt(network, SHAPE))
    assert not slayer.exported.global_clock
    assert any("switched off, without biases" in note for note in slayer.exported.notes)
    with torch.no_grad():
        trained = network(spikes().float())
    deployed = EngineBackend(slayer.model).run(spikes()).spikes
    assert trained.sum() > 20
    assert torch.equal(trained[..., 3:].to(torch.uint8), deployed[..., :-3])
    assert deployed[..., -3:].sum() > 0  # what lava-dl drops at the end of a sample
    assert not trained[..., :3].any()


def test_with_biases_the_trained_network_is_the_deployed_one_on_the_global_clock(shifted):
    network = shifted(import_slayer().neuron.norm.MeanOnlyBatchNorm)
    slayer = SlayerBackend(adopt(network, SHAPE))
    assert slayer.exported.global_clock
    assert any("on the global clock" in note for note in slayer.exported.notes)
    blank = torch.nn.functional.pad(spikes().float(), (1, 0))
    with torch.no_grad():
        trained = network(blank)[..., 1:].to(torch.uint8)
    engine = EngineBackend(slayer.model)
    late = engine.run(spikes(), clock="global").spikes
    assert torch.equal(trained, late)
    assert not torch.equal(trained[..., 3:], engine.run(spikes()).spikes[..., :-3])
    for other in (engine, ReferenceBackend(slayer.model)):
        for clock in ("global", "aligned"):
            result = parity(slayer, other, spikes(), variables=VARIABLES, clock=clock)
            assert result.identical, result.first_difference
            assert result.clock == clock


def test_the_cost_of_aligned_resets_is_counted(shifted):
    network = shifted(import_slayer().neuron.norm.MeanOnlyBatchNorm, seed=1)
    slayer = SlayerBackend(adopt(network, SHAPE))
    engine = EngineBackend(slayer.model)
    x = spikes(batch=100)
    classifier = Classifier(DirectEncoder(SHAPE), engine, Readout("count", 1.0))
    aligned = classifier.predict(x)
    late = classifier.readout.labels(engine.run(x, clock="global"))
    data = Dataset("random", "test", x, late, 4)
    found = alignment(classifier, data)
    assert found.label_changes == int((aligned != late).sum()) > 0
    assert found.as_trained.correct == 100
    assert found.aligned.correct == 100 - found.label_changes
    with LavaBackend(slayer.model) as lava, pytest.raises(BadInput, match="clock: 'global'"):
        alignment(Classifier(classifier.encoder, lava, classifier.readout), data)


def test_the_event_tutorials_network_is_deployed_as_it_is(tutorial):
    """lava-dl's N-MNIST tutorial, narrower: dropout, weight norm, delays, shifts."""
    torch.manual_seed(2)
    slayer = import_slayer()
    neuron = {"threshold": 1.25, "current_decay": 0.25, "voltage_decay": 0.03}
    neuron |= {"tau_grad": 0.03, "scale_grad": 3, "requires_grad": True}
    drop = {**neuron, "dropout": slayer.neuron.Dropout(p=0.05)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's older weight norm
        network = tutorial(
            slayer.block.cuba.Dense(drop, 60, 24, weight_norm=True, delay=True, weight_scale=4),
            slayer.block.cuba.Dense(drop, 24, 24, weight_norm=True, delay=True, weight_scale=4),
            slayer.block.cuba.Dense(neuron, 24, 10, weight_norm=True, weight_scale=4),
        )
    events = (torch.rand(6, 60, 30) < 0.3).float()
    network.train()(events).sum().backward()
    for block in network.blocks[:2]:
        block.delay.delay.data = 4 * torch.rand(24)
    with torch.no_grad():
        trained = network.eval()(events)
    model = SlayerBackend(adopt(network)).model
    assert [layer.kind for layer in model.layers] == ["input", "dense", "dense", "dense"]
    assert {0, 3} <= set(model.layers[1].delay[:, 0].tolist()) <= {0, 1, 2, 3}
    deployed = EngineBackend(model).run(events[:, :, None, None].to(torch.uint8)).spikes
    assert trained.sum() > 50
    assert torch.equal(trained[..., 3:].to(torch.uint8), deployed[..., :-3])
