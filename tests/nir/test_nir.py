"""NIR graphs become networks for the chip, or are refused by the name of a node."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust.backends.engine import EngineBackend
from neurorobust.errors import ModelFileError
from neurorobust.netx import write
from neurorobust.nir import quantise, read_graph
from neurorobust.nir.layers import Synapses
from neurorobust.nir.pooling import Pool, pooled_conv, pooled_dense, pooling_layer
from neurorobust.nir.simulate import FloatNetwork

nir = pytest.importorskip("nir")
DT = 1e-3


def chain(*nodes: tuple[str, Any], shape: tuple[int, ...] = (6,)) -> Any:
    """input -> nodes -> output."""
    last = np.array([1])
    named = {
        "input": nir.Input({"input": np.array(shape)}),
        **dict(nodes),
        "output": nir.Output({"output": last}),
    }
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)), type_check=False)


def saved(graph: Any, folder: Path) -> Path:
    path = folder / "graph.nir"
    nir.write(path, graph)
    return path


def even(seed: int, *shape: int) -> np.ndarray[Any, Any]:
    """Even integers that reach 254: the scale is then 1 and nothing is rounded."""
    weight = 2 * np.random.default_rng(seed).integers(-60, 60, shape)
    weight.flat[0] = 254
    return weight.astype(np.float64)


def fire(count: int, threshold: float = 200.0) -> Any:
    return nir.IF(r=np.ones(count), v_threshold=np.full(count, threshold))


def spikes(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < 0.4).to(torch.uint8)


def test_a_graph_of_integers_stays_what_it_is(tmp_path: Path) -> None:
    """IF neurons, weights on the grid: the float graph and the integers agree, spike by spike."""
    graph = chain(
        ("fc1", nir.Affine(even(1, 9, 6), np.arange(9.0) - 4)), ("n1", fire(9)),
        ("fc2", nir.Linear(even(2, 4, 9))), ("n2", fire(4, 300.0)),
    )  # fmt: skip
    shape, layers = read_graph(saved(graph, tmp_path), DT)
    found = quantise(shape, layers, 20)
    assert [row.name for row in found.layers] == ["fc1 -> n1", "fc2 -> n2"]
    for row in found.layers:
        assert row.scale == pytest.approx(1.0)
        assert (row.lost, row.threshold_error) == (0, pytest.approx(0, abs=1e-8))
        assert row.weight_error == pytest.approx(0, abs=1e-8)
    model = write(found.model, tmp_path / "model.net")
    x = spikes(30, 6, 1, 1, 20)
    float_run, run = FloatNetwork(model, layers).run(x), EngineBackend(model).run(x)
    assert int(run.spikes.sum()) > 100
    assert torch.equal(float_run.spikes, run.spikes)
    assert torch.equal(float_run.membrane.to(torch.int64) * 64, run.membrane.to(torch.int64))


def test_leaks_and_a_synaptic_current(tmp_path: Path) -> None:
    """By hand: the equations of a CubaLIF neuron, one Euler step at a time."""
    node = nir.CubaLIF(
        tau_syn=np.array([4 * DT]), tau_mem=np.array([8 * DT]), r=np.array([2.0]),
        v_leak=np.array([0.0]), v_threshold=np.array([0.5]), w_in=np.array([3.0]),
    )  # fmt: skip
    graph = chain(("w", nir.Linear(np.array([[1.0, -0.5]]))), ("n", node), shape=(2,))
    shape, layers = read_graph(saved(graph, tmp_path), DT)
    found = quantise(shape, layers, 16)
    (layer,) = found.model.spiking_layers
    assert layer.neuron is not None
    assert layer.neuron.current_decay.tolist() == [1024]
    assert layer.neuron.voltage_decay.tolist() == [512]
    x = spikes(1, 2, 1, 1, 16)
    current = voltage = 0.0
    wanted = []
    for step in range(16):
        came = float(x[0, 0, 0, 0, step]) - 0.5 * float(x[0, 1, 0, 0, step])
        current += (-current + 3.0 * came) / 4
        voltage += (-voltage + 2.0 * current) / 8
        wanted.append(int(voltage > 0.5))
        voltage = 0.0 if voltage > 0.5 else voltage
    assert FloatNetwork(found.model, layers).run(x).spikes[0, 0].tolist() == wanted
    assert sum(wanted) > 0
    agree = EngineBackend(found.model).run(x).spikes[0, 0].tolist()
    assert sum(a != b for a, b in zip(agree, wanted, strict=True)) <= 1  # rounding of the weights


def test_a_last_matrix_is_read_out_and_a_leaky_one_never_spikes(tmp_path: Path) -> None:
    plain = chain(("w", nir.Linear(even(3, 4, 6))))
    shape, layers = read_graph(saved(plain, tmp_path), DT)
    found = quantise(shape, layers, 16)
    assert found.model.output_layer.neuron is None
    biased = chain(("w", nir.Affine(even(3, 4, 6), np.full(4, 30.0))))
    leaky = chain(
        ("w", nir.Linear(even(3, 4, 6))),
        ("li", nir.LI(np.full(4, 10 * DT), np.ones(4), np.zeros(4))),
    )
    x = spikes(5, 6, 1, 1, 16)
    for graph in (biased, leaky):
        shape, layers = read_graph(saved(graph, tmp_path), DT)
        found = quantise(shape, layers, 16)
        run = EngineBackend(found.model).run(x)
        assert not run.spikes.any()
        wanted = FloatNetwork(found.model, layers).run(x).membrane
        scale = 64 * found.layers[0].scale
        assert torch.allclose(
            run.membrane / scale, wanted, rtol=0.02, atol=0.02 * float(wanted.abs().max())
        )
        assert torch.equal(run.membrane.argmax(1), wanted.argmax(1))


def test_pooling_before_a_conv_a_matrix_and_neurons(tmp_path: Path) -> None:
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    conv = nir.Conv2d((8, 8), even(5, 3, 1, 3, 3), 1, 1, 1, 1, np.zeros(3))
    deep = nir.Conv2d((4, 4), even(6, 4, 3, 2, 2), 1, 0, 1, 1, np.zeros(4))
    graph = chain(
        ("conv1", conv), ("n1", fire(1)), ("pool1", pool), ("conv2", deep), ("n2", fire(1)),
        ("pool2", pool), ("flat", nir.Flatten({"input": np.array([4, 1, 1])}, 0)),
        ("fc", nir.Linear(even(7, 5, 4))), ("n3", fire(1)), shape=(1, 8, 8),
    )  # fmt: skip
    shape, layers = read_graph(saved(graph, tmp_path), DT)
    assert [layer.name for layer in layers] == [
        "conv1 -> n1",
        "pool1+conv2 -> n2",
        "pool2+fc -> n3",
    ]
    model = write(quantise(shape, layers, 12).model, tmp_path / "model.net")
    assert [layer.shape for layer in model.spiking_layers] == [(3, 8, 8), (4, 3, 3), (5, 1, 1)]
    x = spikes(6, 1, 8, 8, 12)
    assert torch.equal(
        FloatNetwork(model, layers).run(x).spikes, EngineBackend(model).run(x).spikes
    )
    alone = chain(("pool", pool), ("n", fire(2, 1.5)), shape=(2, 4, 4))
    shape, layers = read_graph(saved(alone, tmp_path), DT)
    model = quantise(shape, layers, 12).model
    x = spikes(6, 2, 4, 4, 12)
    run = EngineBackend(model).run(x)
    assert torch.equal(FloatNetwork(model, layers).run(x).spikes, run.spikes)
    assert run.spikes.any()


def assert_is_about_padding(said: str, padding: int) -> None:
    assert "under a padding of 1 are not one conv" in said
    assert padding == 1


@settings(deadline=None)
@given(st.data())
def test_pooling_becomes_part_of_the_synapses_exactly(data: st.DataObject) -> None:
    number = st.integers
    rng = np.random.default_rng(data.draw(number(0, 2**31)))
    size, stride = data.draw(number(1, 3)), data.draw(number(1, 3))
    pool = Pool("p", (size, size), (stride, stride), (0, 0))
    x = torch.from_numpy(rng.integers(0, 2, (2, 4, 9, 10)).astype(np.float64))
    sums = torch.nn.functional.avg_pool2d(x, size, stride) * size * size
    groups = data.draw(st.sampled_from([1, 2]))
    weight = rng.integers(-9, 9, (2 * groups, 4 // groups, 2, 2)).astype(np.float64)
    step, padding = data.draw(number(1, 2)), data.draw(number(0, 1))
    conv = Synapses(
        "c", weight, np.zeros(len(weight)), (step, step), (padding,) * 2, (1, 1), groups
    )
    if min(sums.shape[2:]) >= 2:
        wanted = torch.nn.functional.conv2d(
            sums, torch.from_numpy(weight), None, step, padding, 1, groups
        )
        try:
            joint = pooled_conv(conv, pool, (4, 9, 10))
        except ModelFileError as error:
            said = str(error)
            assert_is_about_padding(said, padding)
        else:
            got = torch.nn.functional.conv2d(
                x, torch.from_numpy(joint.weight), None, joint.stride, joint.padding, 1, groups
            )
            assert torch.equal(wanted, got)
    matrix = rng.integers(-9, 9, (3, sums[0].numel())).astype(np.float64)
    dense = pooled_dense(Synapses("d", matrix, np.zeros(3)), pool, (4, 9, 10))
    assert torch.equal(
        sums.flatten(1) @ torch.from_numpy(matrix).T,
        x.flatten(1) @ torch.from_numpy(dense.weight).T,
    )
    ones = pooling_layer(pool, 4)
    assert torch.equal(
        sums, torch.nn.functional.conv2d(x, torch.from_numpy(ones.weight), None, stride, 0, 1, 4)
    )


WEIGHT = nir.Linear(np.ones((3, 6)))
NEURON = fire(3)


def lif(count: int = 3, **changes: float) -> Any:
    fields = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0} | changes
    return nir.LIF(**{name: np.full(count, value) for name, value in fields.items()})


REFUSED = {
    "node 'odd': Threshold is out of scope, known: Input": [
        ("w", WEIGHT), ("odd", nir.Threshold(np.ones(3))),
    ],
    "node 'two': follows 'w' without neurons between": [("w", WEIGHT), ("two", WEIGHT)],
    "node 'n': IF without synapses before it": [("n", NEURON)],
    "node 'n': v_reset is not 0": [("w", WEIGHT), ("n", lif(v_reset=-1.0))],
    "node 'n': tau 0.0005 below dt 0.001": [("w", WEIGHT), ("n", lif(tau=0.0005))],
    "node 'n': v_threshold 0 is not above 0": [("w", WEIGHT), ("n", lif(v_threshold=0.0))],
    "node 'n': r nan is not finite": [("w", WEIGHT), ("n", lif(r=np.nan))],
    "node 'n': r has shape (2,), its neurons (3, 1, 1)": [
        ("w", WEIGHT), ("n", nir.IF(np.array([1.0, 2.0]), np.ones(2))),
    ],
    "node 'w': weight (3, 5) does not fit 6 inputs": [("w", nir.Linear(np.ones((3, 5))))],
    "node 'w': a bias through a synaptic current": [
        ("w", nir.Affine(np.ones((3, 6)), np.ones(3))),
        ("n", nir.CubaLIF(*(np.array([value]) for value in (0.01, 0.01, 1.0, 0.0, 1.0)))),
    ],
    "node 'output': nothing between input and output": [],
    "node 'w': all weights are 0": [("w", nir.Linear(np.zeros((3, 6)))), ("n", NEURON)],
    "node 'w': all weights round to 0": [("w", WEIGHT), ("n", fire(3, 1e9))],
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_out_of_scope_is_refused_by_name(message: str, tmp_path: Path) -> None:
    path = saved(chain(*REFUSED[message]), tmp_path)
    with pytest.raises(ModelFileError) as caught:
        quantise(*read_graph(path, DT), 16)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_graphs_that_are_no_chain(tmp_path: Path) -> None:
    graph = chain(("w", nir.Linear(np.ones((6, 6)))), ("n", fire(6)))
    graph.edges.append(("n", "w"))
    with pytest.raises(ModelFileError, match="node 'w': several edges lead to it"):
        read_graph(saved(graph, tmp_path), DT)
    graph = chain(("w", WEIGHT), ("n", NEURON))
    graph.edges.append(("w", "output"))
    with pytest.raises(ModelFileError, match="node 'w': 2 nodes follow it, need 1"):
        read_graph(saved(graph, tmp_path), DT)
    graph = chain(("w", WEIGHT), ("n", NEURON))
    graph.nodes["stray"] = NEURON
    with pytest.raises(ModelFileError, match="node 'stray': not on the way"):
        read_graph(saved(graph, tmp_path), DT)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x89HDF\r\n\x1a\n" + b"\0" * 50])
def test_files_that_are_no_graph(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "graph.nir"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"graph.nir: (empty|not an|truncated or damaged) "):
        read_graph(path, DT)
    with pytest.raises(ModelFileError, match="no such file"):
        read_graph(tmp_path / "none.nir", DT)
    with pytest.raises(ModelFileError, match="dt 0 is not above 0"):
        read_graph(path, 0)


def test_an_if_neuron_adds_its_weights_however_long_a_step_is(tmp_path: Path) -> None:
    """As every simulator of the NIR paper: v <- v + r (w s + b), no dt."""
    node = nir.IF(r=np.full(1, 2.0), v_threshold=np.full(1, 400.0))
    graph = chain(("w", nir.Affine(np.array([[127.0, -60.0]]), np.array([7.0]))), ("n", node),
                  shape=(2,))  # fmt: skip
    path, x = saved(graph, tmp_path), spikes(1, 2, 1, 1, 20)
    voltage, wanted = 0.0, []
    for first, second in x[0, :, 0, 0].T.double().tolist():
        voltage += 2.0 * (127.0 * first - 60.0 * second + 7.0)
        wanted.append(int(voltage > 400.0))
        voltage = 0.0 if voltage > 400.0 else voltage
    assert sum(wanted) > 1
    for dt in (1e-4, 1e-3, 1.0):
        shape, layers = read_graph(path, dt)
        model = quantise(shape, layers, 20).model
        assert FloatNetwork(model, layers).run(x).spikes[0, 0].tolist() == wanted
        assert EngineBackend(model).run(x).spikes[0, 0].tolist() == wanted


def test_a_flatten_before_a_convolution_is_named(tmp_path: Path) -> None:
    graph = chain(
        ("flat", nir.Flatten({"input": np.array([1, 8, 8])}, 0)),
        ("conv", nir.Conv2d((8, 8), even(5, 3, 1, 3, 3), 1, 1, 1, 1, np.zeros(3))), ("n", fire(1)),
        shape=(1, 8, 8),
    )  # fmt: skip
    with pytest.raises(ModelFileError, match="node 'conv': Conv2d after Flatten 'flat', behind"):
        read_graph(saved(graph, tmp_path), DT)


@pytest.mark.lava
def test_what_is_imported_runs_in_lava(tmp_path: Path) -> None:
    from neurorobust.backends.lava.backend import LavaBackend

    conv = nir.Conv2d((6, 6), even(5, 2, 1, 3, 3), 1, 0, 1, 1, np.array([3.0, -4.0]))
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    graph = chain(
        ("conv", conv), ("n1", lif(1, tau=0.004, r=4.0, v_threshold=150.0)), ("pool", pool),
        ("flat", nir.Flatten({"input": np.array([2, 2, 2])}, 0)),
        ("fc", nir.Linear(even(7, 5, 8))), ("n2", lif(5, r=10.0, v_threshold=90.0)),
        shape=(1, 6, 6),
    )  # fmt: skip
    shape, layers = read_graph(saved(graph, tmp_path), DT)
    model = write(quantise(shape, layers, 12).model, tmp_path / "model.net")
    x = spikes(3, 1, 6, 6, 12)
    run = EngineBackend(model).run(x)
    assert run.spikes.any()
    with LavaBackend(model) as lava:
        assert torch.equal(lava.run(x).spikes, run.spikes)
