"""What a machine without Lava is told. Needs no Lava."""

import sys

import numpy as np
import pytest

from neurorobust.backends.lava.backend import LavaBackend
from neurorobust.errors import UnavailableError
from neurorobust.netx.model import DenseLayer, NetxModel


@pytest.mark.parametrize("package", ["lava", "lava.magma", "lava.lib.dl"])
def test_says_how_to_get_lava(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    layer = DenseLayer(0, (2, 1, 1), None, np.array([[2, 4], [6, 8]]))
    with pytest.raises(UnavailableError) as caught:
        LavaBackend(NetxModel((2, 1, 1), (layer,)))
    assert (
        str(caught.value) == 'lava: not installed; pip install "lava-nc" "lava-dl" on Python 3.10'
    )
