"""A network that is fed first-spike times: its card, its encoder, an attack through it."""

import dataclasses

import pytest
import torch

from neurorobust import models, netx
from neurorobust.attacks.gradients import Gradient
from neurorobust.encoders import LatencyEncoder
from neurorobust.errors import CardError
from neurorobust.records import Card, EncoderCard

CARD = Card(encoder=EncoderCard(kind="latency"), steps=7, readout="count")


def written(tmp_path, classifier):
    path, model = tmp_path / "model.net", classifier.backend.model
    layers = (dataclasses.replace(layer, number=i) for i, layer in enumerate(model.layers))
    netx.write(dataclasses.replace(model, layers=tuple(layers)), path)
    return path


def test_a_card_names_the_encoder(tmp_path, spiking):
    network = models.resolve(str(written(tmp_path, spiking("latency"))), CARD)
    assert network.encoder == LatencyEncoder((16, 1, 1), 7)


def test_an_input_layer_is_refused(tmp_path, spiking):
    path = written(tmp_path, spiking("drive"))
    with pytest.raises(CardError, match="encoder latency, but the network starts with an on-chip"):
        models.resolve(str(path), CARD)


def test_following_the_gradient_moves_the_margin(spiking):
    """Small steps along the gradient's signs, against random signs, from the same pictures."""
    classifier = spiking("latency", steps=12)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((32, 1, 4, 4), generator=generator)
    labels = classifier.predict(x)
    source = Gradient().start(classifier)

    def after(signs) -> float:
        point = x.clone()
        for _ in range(6):
            point = (point + 0.02 * signs(point)).clamp(0, 1)
        return float(source.look(point, labels, generator).margin.mean())

    ours = after(lambda point: source(point, labels, generator)[0].sign())
    blind = after(lambda point: torch.randn(point.shape, generator=generator).sign())
    assert ours > blind + 1


def test_the_readout_still_counts(spiking):
    classifier = spiking("latency")
    x = torch.zeros((1, 1, 4, 4))
    assert classifier.logits(x).tolist() == [[0.0, 0.0, 0.0, 0.0]]  # nothing in, nothing out
