"""Bounds hold for whatever a layer is fed, and are reached where they are tight."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.fixedpoint import STATE_LIMIT
from neurorobust.netx import ConvLayer, DenseLayer, NetxModel, RecurrentLayer
from neurorobust.netx.bounds import bounds
from tests.build import neuron

STEPS = 7


@st.composite
def layers(draw: st.DrawFn) -> Any:
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    decays = st.sampled_from([0, 1, 900, 4095, 4096])
    own = neuron(draw(decays), draw(decays), draw(st.sampled_from([0, 3, 90, 2000])))
    low, high = draw(st.sampled_from([(-256, 254), (-256, -2), (2, 254), (-4, 6)]))

    def weights(*shape: int) -> Any:
        return 2 * rng.integers(low // 2, high // 2, shape, endpoint=True) | 2 * (low == 2)

    bias = draw(st.none() | st.just(rng.integers(-300, 300, 3)))
    kind = draw(st.sampled_from(["dense", "delayed", "recurrent", "conv"]))
    if kind == "conv":
        return ConvLayer(1, (3, 2, 2), own, weights(3, 2, 2, 2), bias)
    if kind == "recurrent":
        return RecurrentLayer(1, (3, 1, 1), own, weights(3, 6), weights(3, 3), bias)
    delay = rng.integers(0, 3, (3, 6)) if kind == "delayed" else None
    return DenseLayer(1, (3, 1, 1), own, weights(3, 6), bias, delay)


@given(layers(), st.integers(0, 2**31), st.sampled_from([0.1, 0.5, 1.0]))
@settings(max_examples=60)
def test_no_run_exceeds_them(layer: Any, seed: int, density: float) -> None:
    from neurorobust.netx import InputLayer

    rng = np.random.default_rng(seed)
    conv = isinstance(layer, ConvLayer)
    shape = (2, 3, 3) if conv else (6, 1, 1)
    if not np.any(getattr(layer, "weight", 0)):
        return
    model = NetxModel(shape, (InputLayer(0, shape, None), layer))
    x = torch.from_numpy((rng.random((4, *shape, STEPS)) < density).astype(np.uint8))
    trace = ReferenceBackend(model).run(x, record=[1]).layers[1]
    for steps in (STEPS, None):
        known = bounds(layer, steps)
        places = 4 if conv else 1
        current, silent = (np.repeat(part, places) for part in (known.current, known.silent))
        peak = trace.u.abs().amax((0, 2)).numpy()
        assert (peak <= np.maximum(current, 0)).all() | known.wraps.any()
        assert not trace.spikes.numpy().any((0, 2))[silent].any()


def test_the_bound_of_a_dense_layer_is_reached() -> None:
    layer = DenseLayer(0, (2, 1, 1), neuron(2048, 4096, 5), np.array([[100, -60], [254, 2]]))
    x = torch.ones(1, 2, 1, 1, STEPS, dtype=torch.uint8)
    x[:, 1] = 0
    run = ReferenceBackend(NetxModel((2, 1, 1), (layer,))).run(x, record=[0]).layers[0]
    known = bounds(layer, STEPS)
    assert known.low.tolist() == [-60, 0]
    assert known.high.tolist() == [100, 256]
    assert known.current[0] == 6400 * (2 - 2.0 ** (1 - STEPS))
    assert float(run.u[0, 0].max()) >= known.current[0] - STEPS  # but for rounding toward zero
    assert not known.wraps.any()
    assert known.spikes_to_wrap() == 0


def test_six_hundred_inputs_of_weight_250_can_wrap() -> None:
    layer = DenseLayer(0, (1, 1, 1), neuron(0, 4096, 5), np.full((1, 600), 250))
    known = bounds(layer, 1)
    assert known.current[0] == 600 * 250 * 64 > STATE_LIMIT
    assert known.wraps.all()
    assert known.spikes_to_wrap() == 525
    assert not bounds(DenseLayer(0, (1, 1, 1), neuron(0, 4096, 5), np.full((1, 500), 250)), 1).wraps


def test_a_bias_alone() -> None:
    layer = DenseLayer(
        0, (2, 1, 1), neuron(0, 0, 100), np.array([[2, -2], [2, -2]]), bias=np.array([30, -30])
    )
    assert bounds(layer, 3).restless.tolist() == [False, False]
    assert bounds(layer, 4).restless.tolist() == [True, False]
