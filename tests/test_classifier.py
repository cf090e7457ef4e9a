"""A classifier: encoder, backend and readout, which know their network."""

from __future__ import annotations

import pytest
import torch

import neurorobust as nr
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import BadInput, CardError
from neurorobust.records import Card, EncoderCard
from neurorobust.surrogates import Surrogate


@pytest.fixture(scope="module")
def network() -> nr.Network:
    return nr.load("digits-mlp")


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return nr.datasets.load("digits", limit=12)[:12]


def test_labels_are_what_the_readout_makes_of_a_run(network, batch):
    with network.open() as classifier:
        assert classifier.network is network
        run = classifier.run(batch[0])
        assert torch.equal(classifier.predict(batch[0]), classifier.readout.labels(run))
        logits = classifier.logits(batch[0])
        assert torch.equal(logits, classifier.readout.logits(run).to(torch.float32))


def test_logits_are_the_same_numbers_with_gradients_under_any_backward_pass(network, batch):
    x, y = batch
    with network.open() as classifier:
        plain, slopes = classifier.logits(x), []
        for surrogate in (Surrogate("triangle", 1.0), Surrogate("fast-sigmoid", 0.1)):
            leaf = x.clone().requires_grad_()
            logits = classifier.with_backward(surrogate).logits(leaf)
            assert torch.equal(logits.detach(), plain)
            torch.nn.functional.cross_entropy(logits, y).backward()
            slopes.append(leaf.grad)
    assert all(bool(slope.any()) for slope in slopes)
    assert not torch.equal(*slopes)


def test_a_backend_without_gradients_says_so(network, batch):
    classifier = network.classifier(ReferenceBackend(network.model))
    assert not classifier.differentiable
    assert classifier.logits(batch[0]).shape == (12, 10)
    with pytest.raises(BadInput, match="backend reference: no gradients"):
        classifier.logits(batch[0].clone().requires_grad_())


def test_the_module_answers_as_the_classifier(network, batch):
    with network.open() as classifier:
        module = classifier.module()
        assert torch.equal(module(batch[0]), classifier.logits(batch[0]))


def test_a_card_that_needs_another_entrance_is_refused(network):
    images = nr.load("nmnist-cnn").model
    card = Card(encoder=EncoderCard(kind="drive", mean=0.5, std=0.5), steps=8, readout="count")
    with pytest.raises(CardError, match="input layer"):
        _ = nr.Network("other", images, card).encoder
