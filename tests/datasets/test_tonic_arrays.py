from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurorobust.datasets import tonic_arrays
from neurorobust.errors import DatasetError

SENSOR = (5, 4, 2)  # width, height, polarities
STEPS, BIN = 6, 10


def recording(seed: int, events: int = 60, last: int = STEPS * BIN) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found = np.zeros(events, dtype=tonic_arrays.DTYPE)
    found["x"], found["y"] = rng.integers(0, 5, events), rng.integers(0, 4, events)
    found["t"], found["p"] = np.sort(rng.integers(0, last, events)), rng.integers(0, 2, events)
    return found


def test_an_event_goes_where_its_fields_say():
    one = np.array([(3, 1, 25, 1)], dtype=tonic_arrays.DTYPE)
    spikes = tonic_arrays.from_events([one], SENSOR, STEPS, BIN)
    assert spikes.shape == (1, 2, 4, 5, STEPS)
    assert spikes.nonzero().tolist() == [[0, 1, 1, 3, 2]]


def test_the_axes_are_those_of_tonic():
    transforms = pytest.importorskip("tonic.transforms")
    events = recording(0)
    frame = transforms.ToFrame(
        sensor_size=SENSOR, time_window=BIN, start_time=0, end_time=STEPS * BIN,
        include_incomplete=True,
    )(events.copy())  # fmt: skip
    ours = tonic_arrays.from_events([events], SENSOR, STEPS, BIN)
    theirs = tonic_arrays.from_frames(torch.from_numpy(frame[None, :STEPS]))
    assert theirs.shape == ours.shape
    assert torch.equal(ours, theirs)
    assert torch.equal(tonic_arrays.frames(ours)[0], torch.from_numpy(frame[:STEPS] > 0))


@given(seed=st.integers(0, 10_000), bin_us=st.integers(1, 30))
def test_spikes_survive_the_way_there_and_back(seed: int, bin_us: int):
    coins = torch.rand(2, 2, 4, 5, STEPS, generator=torch.Generator().manual_seed(seed))
    spikes = (coins < 0.2).to(torch.uint8)
    arrays = tonic_arrays.to_events(spikes, bin_us)
    assert sum(len(each) for each in arrays) == int(spikes.sum())
    assert torch.equal(tonic_arrays.from_events(arrays, SENSOR, STEPS, bin_us), spikes)
    for each in arrays:
        assert (np.diff(each["t"]) >= 0).all()


@given(seed=st.integers(0, 10_000))
def test_what_an_attack_leaves_alone_keeps_its_times(seed: int):
    events = recording(seed, last=2 * STEPS * BIN)
    spikes = tonic_arrays.from_events([events], SENSOR, STEPS, BIN)
    same = tonic_arrays.to_events(spikes, BIN, [events])[0]
    assert np.array_equal(np.sort(same, order=("t", "p", "y", "x")),
                          np.sort(events, order=("t", "p", "y", "x")))  # fmt: skip
    changed = spikes.clone()
    changed[0, 1, 2, 3, 4] ^= 1
    found = tonic_arrays.to_events(changed, BIN, [events])
    assert torch.equal(tonic_arrays.from_events(found, SENSOR, STEPS, BIN), changed)
    place = (events["x"] == 3) & (events["y"] == 2) & (events["p"] == 1) & (events["t"] // BIN == 4)
    if place.any():  # every event of that bin is gone, and no other
        assert len(found[0]) == len(events) - place.sum()
    else:
        assert len(found[0]) == len(events) + 1
        assert 45 in found[0]["t"]  # the middle of its bin


def test_what_does_not_fit_is_refused():
    good = recording(1)
    for name, value, text in (("x", 5, r"x 5, outside \[0, 4\]"), ("t", -1, r"t -1, outside")):
        bad = good.copy()
        bad[name][3] = value
        with pytest.raises(DatasetError, match=f"sample 0, event 3 has {text}"):
            tonic_arrays.from_events([bad], SENSOR, STEPS, BIN)
    with pytest.raises(DatasetError, match="sample 0 has no field 'p'"):
        tonic_arrays.from_events([good[["x", "y", "t"]]], SENSOR, STEPS, BIN)
    with pytest.raises(DatasetError, match="bin_us 0 must be 1 or more"):
        tonic_arrays.to_events(torch.zeros(1, 2, 4, 5, STEPS, dtype=torch.uint8), 0)
    with pytest.raises(DatasetError, match="2 arrays but 1 samples"):
        tonic_arrays.to_events(torch.zeros(1, 2, 4, 5, 6, dtype=torch.uint8), 1, [good, good])
