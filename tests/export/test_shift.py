"""Networks trained with `delay_shift`: lava-dl's latency of one step a layer."""

import pytest
import torch

from neurorobust.alignment import alignment
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.lava import LavaBackend
from neurorobust.backends.reference import ReferenceBackend
from neurorobust.backends.slayer import SlayerBackend
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.encoders import DirectEncoder
from neurorobust.errors import BadInput
from neurorobust.networks import adopt
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.parity import VARIABLES, parity
from neurorobust.readout import Readout

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
