from __future__ import annotations

import pytest
import torch

from neurorobust.attacks.spike_view import spike_view


@pytest.mark.parametrize("encoder", ["drive", "poisson", "direct"])
def test_the_view_computes_what_the_classifier_computes(spiking, encoder: str):
    classifier = spiking(encoder, readout="membrane")
    x = torch.rand(9, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    if encoder == "direct":
        x = (torch.rand(9, 16, 1, 1, 12) < 0.3).to(torch.uint8)
    view, spikes = spike_view(classifier, x, torch.Generator().manual_seed(2))
    assert spikes.dtype == torch.uint8
    assert spikes.shape == (9, 16, 1, 1, 12)
    assert spikes.any()
    expected = classifier.run(x, torch.Generator().manual_seed(2))
    found = view.run(spikes)
    assert torch.equal(found.spikes, expected.spikes)
    assert torch.equal(found.membrane, expected.membrane)
    assert view.encoder.domain == "spikes"
