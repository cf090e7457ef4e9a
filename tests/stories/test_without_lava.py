"""Everything but training, export, SLAYER and Lava works where Lava is not installed."""

import json
import subprocess
import sys
import textwrap

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name == "lava" or name.startswith("lava."):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_every_module_imports_without_lava() -> None:
    result = _python(
        """
        import importlib, json, pkgutil
        import neurorobust
        names = [m.name for m in pkgutil.walk_packages(neurorobust.__path__, "neurorobust.")]
        for name in names:
            if not name.startswith("neurorobust.training."):  # Lightning may want more than is here
                importlib.import_module(name)
        print(json.dumps(names))
        """
    )
    assert result.returncode == 0, result.stderr
    names = json.loads(result.stdout)
    assert "neurorobust.backends.lava.backend" in names
    assert "neurorobust.cli" in names


def test_the_engine_runs_and_is_attacked_without_lava() -> None:
    result = _python(
        """
        import numpy as np, torch
        from neurorobust.backends.engine import EngineBackend
        from neurorobust.backends.reference.backend import ReferenceBackend
        from neurorobust.attacks import ATTACKS
        from neurorobust.classifier import Classifier
        from neurorobust.encoders import DriveEncoder
        from neurorobust.netx import DenseLayer, InputLayer, NetxModel, Neuron
        from neurorobust.readouts import Readout
        from neurorobust.budgets import ImageBudget

        one = lambda value: np.array([value])
        neuron = Neuron(one(4096), one(128), one(80))
        rng = np.random.default_rng(0)
        model = NetxModel((4, 1, 1), (
            InputLayer(0, (4, 1, 1), neuron, 64.0, 32.0),
            DenseLayer(1, (3, 1, 1), None, rng.integers(-60, 60, (3, 4)) * 2),
        ))
        encoder = DriveEncoder(model.input_shape, weight=64, bias=32, mean=0.0, std=1.0, steps=8)
        x = torch.rand(5, 4, 1, 1)
        labels = None
        for backend in (ReferenceBackend(model), EngineBackend(model)):
            classifier = Classifier(encoder, backend, Readout("membrane", 1e5))
            found = classifier.predict(x)
            assert labels is None or torch.equal(labels, found)
            labels = found
        generator = torch.Generator().manual_seed(0)
        moved = ATTACKS["pgd-linf"](classifier, x, labels, ImageBudget(0.5), generator)
        assert moved.shape == x.shape and not torch.equal(moved, x)
        """
    )
    assert result.returncode == 0, result.stderr


def test_lava_says_how_to_get_it() -> None:
    result = _python(
        """
        import numpy as np
        from neurorobust.backends.lava.backend import LavaBackend
        from neurorobust.errors import UnavailableError
        from neurorobust.netx import DenseLayer, NetxModel
        model = NetxModel((1, 1, 1), (DenseLayer(0, (1, 1, 1), None, np.array([[2]])),))
        try:
            LavaBackend(model)
        except UnavailableError as error:
            print(error)
        """
    )
    assert "lava" in result.stdout, result.stderr
    assert "pip install" in result.stdout
