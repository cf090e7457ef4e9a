"""The networks that ship in the lava-dl wheel, and Lava's own reader on files written here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurorobust.errors import ModelFileError
from neurorobust.netx import ConvLayer, DenseLayer, InputLayer, NetxModel, read, write
from neurorobust.netx.compare import difference

pytestmark = pytest.mark.lava
WheelNet = Callable[[str], Path]
PILOTNET, NTIDIGITS = "gts/pilotnet_lif/network.net", "gts/ntidigits/ntidigits.net"
LAYERS = {
    "mnist.net": [
        ("input", (784, 1, 1), None),
        ("dense", (512, 1, 1), (-38, 30)),
        ("dense", (512, 1, 1), (-58, 52)),
        ("dense", (10, 1, 1), (-38, 42)),
    ],
    "tiny.net": [
        ("input", (3, 16, 16), None),
        ("conv", (24, 6, 6), (-10, 10)),
        ("conv", (36, 1, 1), (-8, 6)),
    ],
    PILOTNET: [
        ("input", (3, 66, 200), None),
        ("conv", (24, 32, 99), (-20, 18)),
        ("conv", (36, 15, 49), (-12, 10)),
        ("conv", (48, 7, 24), (-10, 8)),
        ("conv", (64, 4, 22), (-8, 8)),
        ("conv", (64, 2, 20), (-8, 8)),
        ("flatten", (2560, 1, 1), None),
        ("dense", (100, 1, 1), (-6, 6)),
        ("dense", (50, 1, 1), (-14, 10)),
        ("dense", (10, 1, 1), (-24, 20)),
        ("dense", (1, 1, 1), (-24, 42)),
    ],
    NTIDIGITS: [
        ("input", (1, 1, 64), None),
        ("flatten", (64, 1, 1), None),
        ("dense", (256, 1, 1), (-248, 254)),
        ("dense", (256, 1, 1), (-140, 254)),
        ("dense", (242, 1, 1), (-146, 176)),
        ("average", (11, 1, 1), None),
    ],
}


def _network(path: Path) -> Any:
    """Lava's own reading of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdf5 = pytest.importorskip("lava.lib.dl.netx.hdf5", reason="needs Lava")
        network = hdf5.Network(net_config=str(path))
    network.net_config.f.close()
    return network


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_weight_ranges(name: str, wheel_net: WheelNet) -> None:
    model = read(wheel_net(name))
    found = [
        (
            layer.kind,
            layer.shape,
            (int(layer.weight.min()), int(layer.weight.max()))
            if isinstance(layer, DenseLayer | ConvLayer)
            else None,
        )
        for layer in model.layers
    ]
    assert found == LAYERS[name]
    assert model.input_shape == LAYERS[name][0][1]


@pytest.mark.parametrize("name", LAYERS)
def test_every_number_is_the_file_s(name: str, wheel_net: WheelNet) -> None:
    model = read(wheel_net(name))
    compared = 0
    with h5py.File(wheel_net(name)) as file:
        for layer in model.spiking_layers:
            group = file[f"layer/{layer.number}"]
            neuron = layer.neuron
            if neuron is not None:
                assert neuron.current_decay.tolist() == [group["neuron/iDecay"][()]]
                assert neuron.voltage_decay.tolist() == [group["neuron/vDecay"][()]]
                assert neuron.threshold.tolist() == [group["neuron/vThMant"][()]]
            if isinstance(layer, InputLayer):
                assert layer.weight == group["weight"][()]
                assert layer.bias == group["bias"][()]
                continue
            stored = group["weight"][()].astype(int).reshape(layer.weight.shape)
            np.testing.assert_array_equal(layer.weight, stored)
            assert layer.weight.dtype == np.int64
            if layer.bias is None:
                assert "bias" not in group
            else:
                np.testing.assert_array_equal(layer.bias, group["bias"][()])
            compared += 1
    assert compared == sum(limits is not None for _, _, limits in LAYERS[name])


def test_what_stands_in_single_files(wheel_net: WheelNet) -> None:
    mnist = read(wheel_net("mnist.net"))
    assert mnist.layers[3].neuron is None
    first = mnist.input_layer
    assert first is not None
    assert (first.weight, first.bias) == (76.0, 64.0)
    assert mnist.outputs == 10
    ntidigits = read(wheel_net(NTIDIGITS))
    assert ntidigits.input_layer is None
    delay = ntidigits.layers[2].delay
    assert delay.shape == (256, 64)
    assert (delay == delay[:, :1]).all()
    assert (delay.min(), delay.max()) == (0, 62)
    assert ntidigits.outputs == 242
    pilotnet = read(wheel_net(PILOTNET))
    assert (pilotnet.layers[4].stride, pilotnet.layers[4].padding) == ((2, 1), (1, 0))
    assert pilotnet.layers[10].weight.shape == (1, 10)


@pytest.mark.parametrize("name", ["network.net", "square_network.net"])
def test_sigma_delta_networks_are_refused_by_name(name: str, wheel_net: WheelNet) -> None:
    with pytest.raises(
        ModelFileError, match=rf"{name}: layer 0 \(input\): neuron type 'SDNN' unknown"
    ):
        read(wheel_net(f"gts/pilotnet_sdnn/{name}"))


@pytest.mark.parametrize("name", LAYERS)
def test_written_again_reads_equal(name: str, wheel_net: WheelNet, tmp_path: Path) -> None:
    model = read(wheel_net(name))
    assert difference(model, write(model, tmp_path / "again.net")) is None


@pytest.mark.parametrize("name", ["mnist.net", "tiny.net", PILOTNET])
def test_lava_loads_what_was_written_as_the_original(
    name: str, wheel_net: WheelNet, tmp_path: Path
) -> None:
    model = write(read(wheel_net(name)), tmp_path / "again.net")
    again, original = _network(Path(model.path)), _network(wheel_net(name))
    assert len(again.layers) == len(original.layers) == len(model.spiking_layers)
    for one, other in zip(again.layers, original.layers, strict=True):
        assert type(one) is type(other)
        _assert_same_variables(one.neuron, other.neuron)
        if hasattr(one, "synapse"):
            _assert_same_variables(one.synapse, other.synapse)
        else:
            assert one.transform == other.transform


def test_lava_holds_the_model_s_numbers(tiny: NetxModel, tmp_path: Path) -> None:
    model = NetxModel(tiny.input_shape, tiny.layers[:5])  # NetX cannot load an average layer
    write(model, tmp_path / "model.net")
    first, conv, dense, last = _network(tmp_path / "model.net").layers
    assert first.shape == (6, 6, 2)
    weight = model.layers[1].weight
    np.testing.assert_array_equal(
        conv.synapse.weight.init, weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    )
    assert tuple(conv.synapse.stride.init) == (1, 2)
    assert tuple(conv.synapse.padding.init) == (0, 1)
    assert conv.synapse.groups.init == 2
    assert conv.shape == (5, 3, 4)
    np.testing.assert_array_equal(conv.neuron.vth.init, [20, 30, 40, 50])
    np.testing.assert_array_equal(conv.neuron.bias_mant.init[0, 0], [-3, 0, 7, 40000])
    assert (dense.neuron.du.init, dense.neuron.dv.init, dense.neuron.vth.init) == (1023, 128, 80)
    for layer, block in ((model.layers[3], dense), (model.layers[4], last)):
        exponent = block.synapse.proc_params["weight_exp"]
        np.testing.assert_array_equal(layer.weight << -exponent, block.synapse.weights.init)
    np.testing.assert_array_equal(model.layers[3].delay, dense.synapse.delays.init)
    assert (last.neuron.du.init, last.neuron.dv.init, last.neuron.vth.init) == (-1, 4096, 1 << 17)


def _assert_same_variables(one: Any, other: Any) -> None:
    names = sorted(variable.name for variable in one.vars)
    assert names
    assert names == sorted(variable.name for variable in other.vars)
    for name in names:
        np.testing.assert_array_equal(getattr(one, name).init, getattr(other, name).init)
