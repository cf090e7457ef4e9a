import pytest
import torch

from neurorobust.errors import BadInput
from neurorobust.readouts import READOUTS, Readout, first_argmax
from neurorobust.types import Run


def _run(spikes: list[list[list[int]]], membrane: list[list[int]]) -> Run:
    return Run(
        torch.tensor(spikes, dtype=torch.uint8), torch.tensor(membrane, dtype=torch.int32), {}
    )


RUN = _run([[[1, 0, 1], [0, 1, 1], [0, 0, 1]]], [[-5, 70, 70]])


def test_count_and_its_tie_go_to_the_lowest_class() -> None:
    readout = Readout("count", 1.0)
    assert torch.equal(readout.integers(RUN), torch.tensor([[2, 2, 1]]))
    assert readout.integers(RUN).dtype == torch.int64
    assert readout.labels(RUN).tolist() == [0]


def test_membrane_and_its_tie_go_to_the_lowest_class() -> None:
    assert Readout("membrane", 10.0).labels(RUN).tolist() == [1]


def test_first_argmax_breaks_ties_the_same_way_for_every_layout() -> None:
    scores = torch.zeros(4, 7)
    scores[1, 3] = scores[1, 5] = 2
    assert first_argmax(scores).tolist() == [0, 3, 0, 0]


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e5])
def test_scale_divides_logits_and_changes_no_label(scale: float) -> None:
    readout = Readout("membrane", scale)
    assert torch.equal(readout.logits(RUN), RUN.membrane.double() / scale)
    assert readout.labels(RUN).tolist() == [1]


def test_default_scales_are_the_documented_constants() -> None:
    assert READOUTS["count"].scale(16) == 1.0
    assert READOUTS["membrane"].scale(16) == 127 * 64 * 16


def test_readout_of_floats_carries_gradients() -> None:
    spikes = torch.ones(1, 2, 3, requires_grad=True)
    Readout("count", 2.0).logits(Run(spikes, spikes[..., -1], {})).sum().backward()
    assert torch.equal(spikes.grad, torch.full((1, 2, 3), 0.5))


def test_bad_readouts_are_refused() -> None:
    with pytest.raises(BadInput, match="readout: 'first-spike' unknown, known: count, membrane"):
        Readout("first-spike", 1.0)
    with pytest.raises(BadInput, match="logit scale 0 not above 0"):
        Readout("count", 0)
