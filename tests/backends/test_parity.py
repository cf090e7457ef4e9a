import numpy as np
import pytest
import torch

from neurorobust.backends.parity import VARIABLES, parity
from neurorobust.errors import BadInput
from neurorobust.netx.model import DenseLayer, InputLayer, NetxModel, Neuron
from neurorobust.types import Inputs, LayerTrace, Run

SHAPES = {0: 6, 1: 5, 2: 4}
SAMPLES, STEPS = 150, 7  # more than two chunks
NEURON = Neuron(np.array([0]), np.array([0]), np.array([1]))


def model(outputs=4, kind=InputLayer):
    first = InputLayer(0, (6, 1, 1), NEURON)
    hidden = DenseLayer(1, (5, 1, 1), NEURON, np.ones((5, 6), dtype=np.int64))
    last = DenseLayer(2, (outputs, 1, 1), NEURON, np.ones((outputs, 5), dtype=np.int64))
    return NetxModel((6, 1, 1), (first, hidden, last))


class Recording:
    """A backend that plays back what it was given; sample i is known by its first input."""

    def __init__(self, name, traces, net=None):
        self.name, self.traces, self.model = name, traces, net or model()

    def run(self, inputs, record=(), clock="aligned"):
        rows = inputs.values.flatten(1)[:, 0].long()
        cut = {n: LayerTrace(*(part[rows] for part in self.traces[n])) for n in record}
        return Run(torch.zeros(len(rows), 0, STEPS), torch.zeros(len(rows), 0), cut)


def numbered_drive(samples=SAMPLES):
    bias = torch.zeros(samples, 6, 1, 1, dtype=torch.int32)
    bias[:, 0, 0, 0] = torch.arange(samples)
    return Inputs.drive(bias, STEPS)


def traces(*planted):
    """The same random traces every time, but for (layer, variable, sample, neuron, step, value)."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for number, width in SHAPES.items():
        size = (SAMPLES, width, STEPS)
        spikes = (torch.rand(size, generator=generator) < 0.5).to(torch.uint8)
        u, v = (
            torch.randint(-9, 9, size, generator=generator, dtype=torch.int32) for _ in range(2)
        )
        made[number] = (spikes, u, v)
    for layer, variable, sample, neuron, step, value in planted:
        made[layer][VARIABLES.index(variable)][sample, neuron, step] = value
    return made


def compare(planted, variables=VARIABLES, layers=None, inputs=None):
    return parity(
        Recording("engine", traces()),
        Recording("lava", traces(*planted)),
        numbered_drive() if inputs is None else inputs,
        layers,
        variables,
    )


def flipped(layer, sample, neuron, step):
    value = 1 - int(traces()[layer][0][sample, neuron, step])
    return (layer, "spikes", sample, neuron, step, value)


def test_equal_backends_are_identical():
    result = compare([])
    assert result.identical
    assert result.first_difference is None
    assert (result.first, result.second, result.samples) == ("engine", "lava", SAMPLES)
    assert result.layers == (0, 1, 2)
    assert result.variables == VARIABLES


@pytest.mark.parametrize("sample", [0, 63, 64, 149])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_single_flipped_spike_is_found_and_named(layer, sample):
    planted = flipped(layer, sample, 3, 5)
    result = compare([planted], ("spikes",))
    kind = "input" if layer == 0 else "dense"
    assert not result.identical
    assert result.first_difference == (
        f"layer {layer} ({kind}), sample {sample}, neuron 3, step 5: "
        f"spikes {1 - planted[-1]} (engine) against {planted[-1]} (lava)"
    )


@pytest.mark.parametrize("variable", ["u", "v"])
def test_states_are_compared_only_when_asked_for(variable):
    planted = [(2, variable, 70, 1, 6, 1 << 20)]
    assert compare(planted, ("spikes",)).identical
    found = compare(planted, ("spikes", variable)).first_difference
    before = int(traces()[2][VARIABLES.index(variable)][70, 1, 6])
    assert found == (
        f"layer 2 (dense), sample 70, neuron 1, step 6: "
        f"{variable} {before} (engine) against 1048576 (lava)"
    )


def test_first_is_the_lowest_layer_then_step_then_sample_then_neuron():
    in_order = [
        flipped(1, 140, 4, 0),
        flipped(1, 3, 2, 1),
        flipped(1, 3, 4, 1),
        flipped(1, 100, 0, 1),
        flipped(2, 0, 0, 0),
    ]
    for begin in range(len(in_order)):
        layer, _, sample, neuron, step, _ = in_order[begin]
        found = compare(in_order[begin:]).first_difference
        assert found.startswith(
            f"layer {layer} (dense), sample {sample}, neuron {neuron}, step {step}: spikes"
        )


def test_layers_can_be_chosen_and_spikes_skip_the_input_layer():
    planted = [flipped(0, 1, 1, 1)]
    assert compare(planted, layers=[1, 2]).identical
    assert not compare(planted, layers=[0]).identical
    given = numbered_drive().values[..., None].expand(SAMPLES, 6, 1, 1, STEPS)
    result = compare(planted, inputs=given)
    assert result.identical
    assert result.layers == (1, 2)


def test_two_backends_of_one_name_are_told_apart():
    planted = flipped(2, 5, 1, 1)
    one, other = Recording("engine", traces()), Recording("engine", traces(planted))
    found = parity(one, other, numbered_drive()).first_difference
    assert f"{1 - planted[-1]} (first engine) against {planted[-1]} (second engine)" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variables": ("spike",)}, "variable 'spike' unknown, known: spikes, u, v"),
        ({"variables": ()}, "150 samples, 3 layers and 0 variables, need at least one of each"),
        ({"layers": []}, "150 samples, 0 layers and 3 variables"),
        ({"layers": [7]}, r"layer 7 does not compute here, layers that do: \[0, 1, 2\]"),
        ({"inputs": numbered_drive(0)}, "0 samples, 3 layers"),
    ],
)
def test_nothing_is_called_identical_unseen(change, message):
    with pytest.raises(BadInput, match=message):
        compare([], **change)


def test_networks_of_different_layers_are_refused():
    one, other = Recording("a", traces()), Recording("b", traces(), model(outputs=3))
    with pytest.raises(BadInput, match=r"layer 2 \(dense\) \(4, 1, 1\) against layer 2 \(dense\)"):
        parity(one, other, numbered_drive())
    shorter = NetxModel((6, 1, 1), model().layers[:2])
    with pytest.raises(BadInput, match="3 layers with neurons against 2"):
        parity(one, Recording("b", traces(), shorter), numbered_drive())


def test_a_trace_of_another_length_is_refused():
    other = traces()
    other[1] = tuple(part[..., :-1] for part in other[1])
    with pytest.raises(BadInput, match=r"layer 1: spikes \(64, 5, 7\) against \(64, 5, 6\)"):
        parity(Recording("a", traces()), Recording("b", other), numbered_drive())
