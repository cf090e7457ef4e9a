import pytest
import torch

from neurorobust.errors import BadInput
from neurorobust.types import Inputs


def spikes() -> torch.Tensor:
    return (torch.arange(3 * 2 * 4 * 5 * 7) % 2).reshape(3, 2, 4, 5, 7).to(torch.uint8)


def test_a_bare_tensor_is_spikes_and_inputs_stay_what_they_are():
    given = spikes()
    inputs = Inputs.of(given)
    assert inputs.values is given
    assert (inputs.driven, inputs.kind, inputs.steps, len(inputs)) == (False, "spikes", 7, 3)
    assert Inputs.of(inputs) is inputs


def test_drive_has_no_time_axis_and_is_held():
    inputs = Inputs.drive(torch.zeros(3, 2, 4, 5, dtype=torch.int32), 9)
    assert (inputs.driven, inputs.kind, inputs.steps, len(inputs)) == (True, "drive", 9, 3)


@pytest.mark.parametrize("inputs", [Inputs.of(spikes()), Inputs.drive(spikes()[..., 0], 7)])
@pytest.mark.parametrize(
    "rows", [slice(1, 3), slice(0, 0), [2, 0, 2], torch.tensor([False, True, True])]
)
def test_rows_are_inputs_of_the_same_kind(inputs: Inputs, rows):
    some = inputs[rows]
    assert (some.kind, some.steps) == (inputs.kind, 7)
    assert torch.equal(some.values, inputs.values[rows])


@pytest.mark.parametrize("inputs", [Inputs.of(spikes()), Inputs.drive(spikes()[..., 0], 7)])
def test_rows_and_steps_share_memory_with_the_whole(inputs: Inputs):
    start = inputs.values.untyped_storage().data_ptr()
    for part in (inputs[1:], inputs.first_steps(3)):
        assert part.values.untyped_storage().data_ptr() == start
    assert inputs.first_steps(3).steps == 3
    assert inputs.first_steps(3).kind == inputs.kind


@pytest.mark.parametrize("inputs", [Inputs.of(spikes()), Inputs.drive(spikes()[..., 0], 7)])
def test_gradients_pass_through_rows_and_steps(inputs: Inputs):
    leaf = inputs.values.float().requires_grad_()
    part = inputs.with_values(leaf)[[0, 2]].first_steps(3)
    part.values.sum().backward()
    wanted = torch.zeros_like(leaf)
    wanted[[0, 2]] = 1
    if not inputs.driven:
        wanted[..., 3:] = 0
    assert torch.equal(leaf.grad, wanted)


def test_wrong_axes_and_no_steps_are_refused():
    with pytest.raises(BadInput, match=r"^spikes: 4 axes, need 5 \(batch, channel, height, width"):
        Inputs.of(spikes()[..., 0])
    with pytest.raises(BadInput, match=r"^drive: 5 axes, need 4 \(batch, channel, height, width\)"):
        Inputs(spikes(), 7)
    with pytest.raises(BadInput, match="spikes: 0 time steps, need at least 1"):
        Inputs.of(spikes()[..., :0])
    with pytest.raises(BadInput, match="drive: 0 time steps, need at least 1"):
        Inputs.drive(spikes()[..., 0], 0)
    with pytest.raises(BadInput, match="spikes: 4 axes"):
        next(iter(Inputs.of(spikes())))  # a single row is no batch


def test_values_that_are_no_real_tensor_and_steps_that_are_no_whole_number_are_refused():
    bias = torch.zeros(2, 1, 1, 4, dtype=torch.int32)
    with pytest.raises(BadInput, match=r"spikes: values are torch\.complex64, need a torch tensor"):
        Inputs(torch.zeros(2, 1, 1, 4, 3, dtype=torch.complex64))
    for steps in (16.0, True, "16"):
        with pytest.raises(BadInput, match=r"drive: steps is .*, need a whole number"):
            Inputs(bias, steps)
    for steps in (0, 8):
        with pytest.raises(BadInput, match=f"drive: {steps} of 7 time steps"):
            Inputs(bias, 7).first_steps(steps)
