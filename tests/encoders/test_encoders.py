from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust.encoders import DirectEncoder, DriveEncoder, LatencyEncoder, PoissonEncoder
from neurorobust.errors import BadInput

GREYS = torch.arange(256, dtype=torch.uint8)
PIXELS = (GREYS.to(torch.float32) / 255).reshape(1, 1, 16, 16)  # as Dataset.batch gives them


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def published() -> DriveEncoder:
    """The encoder of the MNIST network in the lava-dl wheel."""
    return DriveEncoder((256, 1, 1), weight=76, bias=64, mean=0.5, std=0.5, steps=16)


def test_drive_of_every_grey_level_is_that_of_exact_arithmetic():
    drive = published().encode(PIXELS)
    exact = [int(76 * (Fraction(2 * k, 255) - 1) + 64) for k in range(256)]
    in_float64 = np.trunc(76 * (np.arange(256) / 127.5 - 1) + 64)
    assert drive.steps == 16
    assert drive.values.dtype == torch.int32
    assert drive.values.shape == (1, 256, 1, 1)
    assert drive.values.flatten().tolist() == exact == in_float64.tolist()
    assert (min(exact), max(exact)) == (-12, 140)


def test_drive_takes_x_as_it_is():
    encoder = DriveEncoder((256, 1, 1), weight=85, bias=-60, mean=0.0, std=1.0, steps=1)
    got = encoder.encode(PIXELS).values.flatten().tolist()
    exact = [int(Fraction(85 * k, 255) - 60) for k in range(256)]
    differing = [k for k in range(256) if got[k] != exact[k]]
    assert differing  # the documented exception exists
    assert all(k % 3 == 0 and exact[k] < 0 and got[k] == exact[k] + 1 for k in differing)
    doubles = (GREYS.to(torch.float64) / 255).reshape(1, 1, 16, 16)
    assert encoder.encode(doubles).values.flatten().tolist() == [
        int(np.trunc(85 * (k / 255) - 60)) for k in range(256)
    ]


@settings(max_examples=50, deadline=None)
@given(
    weight=st.integers(-300, 300),
    bias=st.integers(-300, 300),
    mean=st.floats(0, 1),
    std=st.floats(0.1, 2),
    x=st.floats(0, 1, width=32),
)
def test_drive_formula(weight, bias, mean, std, x):
    encoder = DriveEncoder((1, 1, 1), weight, bias, mean, std, steps=3)
    pixel = torch.tensor([[[[x]]]], dtype=torch.float32)
    expected = int(weight * ((float(np.float32(x)) - mean) / std) + bias)
    assert encoder.encode(pixel).values.item() == expected
    assert encoder.forward(pixel).values.item() == expected


def test_drive_forward_is_encode_with_a_straight_through_gradient():
    encoder = DriveEncoder((1, 4, 4), weight=76, bias=64, mean=0.5, std=0.25, steps=8)
    x = torch.rand((3, 1, 4, 4), generator=generator()).requires_grad_()
    drive = encoder.forward(x)
    assert drive.steps == 8
    assert drive.values.dtype == torch.float32
    assert torch.equal(drive.values.to(torch.int32), encoder.encode(x).values)
    assert torch.equal(drive.values, torch.trunc(drive.values))
    drive.values.sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 76 / 0.25))


def test_drive_range_borders():
    one = torch.ones((1, 1, 1, 1))
    low = DriveEncoder((1, 1, 1), weight=0, bias=-32768, mean=0, std=1, steps=1)
    high = DriveEncoder((1, 1, 1), weight=32767, bias=0, mean=0, std=1, steps=1)
    assert low.encode(one).values.item() == -32768
    assert high.encode(one).values.item() == 32767
    over = DriveEncoder((1, 1, 1), weight=32768, bias=0, mean=0, std=1, steps=1)
    under = DriveEncoder((1, 1, 1), weight=0, bias=-32769, mean=0, std=1, steps=1)
    with pytest.raises(
        BadInput, match=r"sample 1 needs bias_mant 32768, outside \[-32768, 32767\]"
    ):
        over.encode(torch.tensor([0.5, 1.0]).reshape(2, 1, 1, 1))
    with pytest.raises(BadInput, match=r"sample 0 needs bias_mant -32769, outside"):
        under.forward(one)


def test_poisson_draws_the_asked_rate_independently():
    encoder = PoissonEncoder((1, 2, 2), steps=4000, gain=0.5)
    x = torch.tensor([0.0, 0.25, 0.5, 1.0]).reshape(1, 1, 2, 2).repeat(2, 1, 1, 1)
    spikes = encoder.encode(x, generator(1)).values
    assert spikes.dtype == torch.uint8
    assert spikes.shape == (2, 1, 2, 2, 4000)
    rates = spikes.double().mean(-1).reshape(2, 4)
    expected = torch.tensor([0.0, 0.125, 0.25, 0.5], dtype=torch.float64)
    assert torch.all(
        (rates - expected).abs() < 5 * (expected * (1 - expected) / 4000).sqrt() + 1e-12
    )
    assert not torch.equal(spikes[0], spikes[1])
    flat = spikes.double().reshape(8, 4000)
    correlations = torch.corrcoef(flat[[1, 2, 3, 5, 6, 7]]) - torch.eye(6, dtype=torch.float64)
    assert correlations.abs().max() < 5 / 4000**0.5


def test_poisson_white_always_and_black_never_spikes():
    encoder = PoissonEncoder((1, 1, 2), steps=2000)
    spikes = encoder.encode(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2), generator()).values
    assert spikes.sum(-1).flatten().tolist() == [0, 2000]


def test_poisson_is_fresh_but_reproducible():
    encoder = PoissonEncoder((4, 1, 1), steps=16)
    x = torch.full((3, 1, 2, 2), 0.5)
    random = generator(7)
    first, second = (encoder.encode(x, random).values for _ in range(2))
    assert not torch.equal(first, second)
    again = generator(7)
    assert torch.equal(encoder.encode(x, again).values, first)
    assert torch.equal(encoder.forward(x, again).values, second.to(torch.float32))
    assert torch.equal(encoder.encode(x[:2], generator(7)).values, first[:2])


def test_poisson_gradient_is_the_gain_at_every_step():
    encoder = PoissonEncoder((1, 2, 2), steps=5, gain=0.75)
    x = torch.full((2, 1, 2, 2), 0.5, requires_grad=True)
    spikes = encoder.forward(x, generator(3)).values
    assert set(spikes.unique().tolist()) == {0.0, 1.0}
    spikes[..., :3].sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 3 * 0.75))


def test_direct_passes_through():
    encoder = DirectEncoder((8, 1, 1))
    x = torch.randint(0, 2, (3, 2, 2, 2, 7), generator=generator())
    spikes = encoder.encode(x).values
    assert spikes.dtype == torch.uint8
    assert torch.equal(spikes, x.reshape(3, 8, 1, 1, 7).to(torch.uint8))
    floats = x.to(torch.float32).requires_grad_()
    out = encoder.forward(floats).values
    assert torch.equal(out, spikes.to(torch.float32))
    out.mul(2).sum().backward()
    assert torch.equal(floats.grad, torch.full_like(floats, 2))


def test_direct_refuses_anything_else():
    encoder = DirectEncoder((1, 2, 2))
    good = torch.zeros((2, 1, 2, 2, 3))
    for value, text in ((0.5, "0.5"), (2.0, "2"), (float("nan"), "nan")):
        bad = good.clone()
        bad[1, 0, 0, 0, 2] = value
        with pytest.raises(BadInput, match=f"direct: sample 1 holds {text}, neither 0 nor 1"):
            encoder.encode(bad)
        with pytest.raises(BadInput, match="neither 0 nor 1"):
            encoder.forward(bad)
    with pytest.raises(BadInput, match=r"direct: x has 4 axes, need 5"):
        encoder.encode(good[..., 0])
    with pytest.raises(BadInput, match=r"data of shape \(1, 2, 2\) do not fit .* \(3, 1, 1\)"):
        DirectEncoder((3, 1, 1)).encode(good)
    with pytest.raises(BadInput, match="0 time steps"):
        encoder.encode(good[..., :0])


IMAGE_ENCODERS = [
    DriveEncoder((1, 2, 2), weight=64, bias=0, mean=0, std=1, steps=4),
    PoissonEncoder((1, 2, 2), steps=4),
]


@pytest.mark.parametrize("encoder", IMAGE_ENCODERS, ids=lambda e: e.name)
@pytest.mark.parametrize("call", ["encode", "forward"])
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "holds NaN"),
        (-0.001, r"holds -0.001, outside \[0, 1\]"),
        (1.001, r"holds 1.001, outside \[0, 1\]"),
        (float("inf"), r"holds inf, outside \[0, 1\]"),
    ],
)
def test_pixels_that_are_refused(encoder, call, value, text):
    x = torch.full((3, 1, 2, 2), 0.5)
    x[2, 0, 1, 0] = value
    with pytest.raises(BadInput, match=f"{encoder.name}: sample 2 {text}"):
        getattr(encoder, call)(x, generator())


@pytest.mark.parametrize("encoder", IMAGE_ENCODERS, ids=lambda e: e.name)
def test_batches_that_do_not_fit(encoder):
    with pytest.raises(BadInput, match=r"data of shape \(1, 3, 3\) do not fit .* \(1, 2, 2\)"):
        encoder.encode(torch.zeros((1, 1, 3, 3)), generator())
    with pytest.raises(BadInput, match="x has 5 axes, need 4"):
        encoder.encode(torch.zeros((1, 1, 2, 2, 1)), generator())
    with pytest.raises(BadInput, match=r"x is torch.uint8, need floats in \[0, 1\]"):
        encoder.encode(torch.zeros((1, 1, 2, 2), dtype=torch.uint8), generator())
    encoded = encoder.encode(torch.zeros((0, 1, 2, 2)), generator())
    assert len(encoded) == 0


def test_poisson_needs_a_generator():
    with pytest.raises(BadInput, match="needs a generator on the CPU, given: none"):
        PoissonEncoder((1, 2, 2), steps=4).encode(torch.zeros((1, 1, 2, 2)))


def test_settings_that_are_refused():
    with pytest.raises(BadInput, match="drive: steps 0 below 1"):
        DriveEncoder((1, 1, 1), 1, 0, 0, 1, steps=0)
    with pytest.raises(BadInput, match="drive: std 0 not above 0"):
        DriveEncoder((1, 1, 1), 1, 0, 0, 0, steps=1)
    with pytest.raises(BadInput, match="poisson: steps -1 below 1"):
        PoissonEncoder((1, 1, 1), steps=-1)
    for gain in (0.0, 1.5, float("nan")):
        with pytest.raises(BadInput, match=r"poisson: gain .* outside \(0, 1\]"):
            PoissonEncoder((1, 1, 1), steps=1, gain=gain)


def test_attributes():
    drive, poisson, direct = *IMAGE_ENCODERS, DirectEncoder((1, 2, 2))
    assert [(e.name, e.domain, e.steps, e.random) for e in (drive, poisson, direct)] == [
        ("drive", "images", 4, False),
        ("poisson", "images", 4, True),
        ("direct", "spikes", 0, False),
    ]


@settings(max_examples=100, deadline=None)
@given(x=st.floats(0, 1, width=32), steps=st.integers(1, 64))
def test_latency_formula(x, steps):
    """The brighter the earlier; a pixel above 0 always spikes, once."""
    spikes = LatencyEncoder((1, 1, 1), steps).encode(torch.full((1, 1, 1, 1), x)).values
    assert spikes.dtype == torch.uint8
    assert spikes.shape == (1, 1, 1, 1, steps)
    wanted = np.zeros(steps)
    if x > 0:
        wanted[min(int((1 - Fraction(x)) * steps), steps - 1)] = 1
    assert spikes.flatten().tolist() == wanted.tolist()


def test_latency_borders():
    """T = 4: 1 at once, steps of 1/4, the last for what is just above 0, nothing for 0."""
    x = torch.tensor([1.0, 0.76, 0.75, 0.5, 0.25, 1e-30, 0.0]).reshape(1, 1, 1, 7)
    spikes = LatencyEncoder((7, 1, 1), 4).encode(x).values[0, :, 0, 0]
    assert spikes.argmax(-1).tolist() == [0, 0, 1, 2, 3, 3, 0]
    assert spikes.sum(-1).tolist() == [1, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_latency_gradient_goes_by_the_neighbouring_steps(steps):
    encoder = LatencyEncoder((1, 3, 4), steps)
    x = torch.rand((2, 1, 3, 4), generator=generator()).mul(1.6).sub(0.3).clamp(0, 1)
    assert (x == 0).any()
    assert (x == 1).any()
    x.requires_grad_()
    spikes = encoder.forward(x).values
    assert spikes.dtype == torch.float32
    assert torch.equal(spikes.to(torch.uint8), encoder.encode(x).values)
    to_spikes = torch.randn(spikes.shape, generator=generator(1))
    (spikes * to_spikes).sum().backward()
    for place in np.ndindex(*x.shape):
        row, value = to_spikes[place].tolist(), [*spikes[place].tolist()]
        row.append(0.0)  # what no spike is worth
        time = value.index(1.0) if 1.0 in value else steps
        earlier = row[time - 1] - row[time] if time else None
        later = row[time + 1] - row[time] if time < steps else None
        moves = [move for move in (earlier, None if later is None else -later) if move is not None]
        assert float(x.grad[place]) == pytest.approx(steps * sum(moves) / len(moves), rel=1e-5)


def test_latency_refuses_what_does_not_fit():
    encoder = LatencyEncoder((1, 2, 2), 3)
    with pytest.raises(BadInput, match="latency: steps 0 below 1"):
        LatencyEncoder((1, 2, 2), 0)
    with pytest.raises(BadInput, match=r"latency: sample 0 holds 1\.5, outside \[0, 1\]"):
        encoder.encode(torch.full((1, 1, 2, 2), 1.5))
    with pytest.raises(BadInput, match="latency: data of shape"):
        encoder.forward(torch.zeros((1, 1, 3, 3)))
