"""A recurrent and a delayed network, trained a little, are the same in every backend."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from neurorobust import datasets, netx
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.lava.backend import LavaBackend, require_lava
from neurorobust.backends.parity import VARIABLES, parity
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.backends.slayer.backend import SlayerBackend
from neurorobust.classifier import Network
from neurorobust.errors import UnavailableError
from neurorobust.netx.model import DenseLayer, RecurrentLayer
from neurorobust.training import TrainOptions, load_run, recipe, train

try:
    require_lava()
except UnavailableError as error:
    pytest.skip(str(error), allow_module_level=True)
pytestmark = [
    pytest.mark.lava,
    pytest.mark.filterwarnings("ignore"),  # Lightning's and lava-dl's
]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("digits", 700),
        pytest.param("mnist", 3000, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", ["recurrent", "delayed"])
def test_slayer_reference_engine_and_lava_are_identical_in_every_layer(
    kind: str, name: str, limit: int, tmp_path: Path
) -> None:
    folder = os.environ.get("NEUROROBUST_DATA")
    if name != "digits" and folder is None:
        pytest.skip("needs MNIST: set NEUROROBUST_DATA to torchvision's folder")
    data_dir = None if folder is None else Path(folder)
    spec, _ = recipe(kind, name)
    spec = spec.model_copy(update={"hidden": (40,)})
    options = TrainOptions(epochs=2, lr=2e-2, limit=limit)
    run = train(spec, name, tmp_path / "run", options, data_dir=data_dir)
    network, card, report = load_run(run)
    history = report["history"]
    assert history[-1]["correct"] > 0.6 * history[-1]["total"]

    slayer = SlayerBackend(network)
    model = netx.write(slayer.model, tmp_path / "model.net")
    hidden = model.layers[2]
    if kind == "recurrent":
        assert isinstance(hidden, RecurrentLayer)
        assert np.count_nonzero(hidden.weight_rec) > 0.5 * hidden.weight_rec.size
    else:
        assert isinstance(hidden, DenseLayer)
        assert hidden.delay is not None
        assert set(np.unique(hidden.delay)) >= {0, 1, 2, 3}

    data = datasets.load(name, "test", data_dir, limit=12)
    inputs = Network("", model, card).encoder.encode(data.batch(0, 12)[0], torch.Generator())
    with LavaBackend(model, timeout=120) as lava:
        for other in (ReferenceBackend(model), EngineBackend(model), lava):
            result = parity(slayer, other, inputs, variables=VARIABLES)
            assert result.layers == (0, 2, 3)
            assert result.identical, result.first_difference
            ours, theirs = slayer.run(inputs), other.run(inputs)
            assert torch.equal(ours.spikes, theirs.spikes)
            assert torch.equal(ours.membrane, theirs.membrane)
    assert (ours.spikes.sum(-1).argmax(-1) == data.y).sum() >= 6
