from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurorobust.errors import ModelFileError, OutputError
from neurorobust.netx import DenseLayer, NetxModel, read, write
from neurorobust.netx.compare import difference
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise


def test_reads_back_equal(tiny: NetxModel, tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.net"
    written = write(tiny, path)
    again = read(path)
    assert difference(tiny, written) is None
    assert difference(tiny, again) is None
    assert written.sha256 == again.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert written.path == again.path == str(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["model.net"]
    assert again.layers[3].weight.dtype == np.int64
    assert again.layers[3].delay.dtype == np.int64


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_model_reads_back_equal(
    any_model: st.SearchStrategy[NetxModel], data: st.DataObject
) -> None:
    model = data.draw(any_model)
    assert difference(model, parse(serialise(model), "model.net")) is None


def test_same_model_gives_the_same_bytes(tiny: NetxModel, tmp_path: Path) -> None:
    first = write(tiny, tmp_path / "a.net").sha256
    time.sleep(1.1)  # HDF5 stores times in seconds, where it stores them
    second = write(read(tmp_path / "a.net"), tmp_path / "b.net").sha256
    assert first == second


def test_replaces_a_file_whole(tiny: NetxModel, tmp_path: Path) -> None:
    path = tmp_path / "model.net"
    path.write_bytes(b"old")
    assert write(tiny, path).sha256 == read(path).sha256


def test_fields_are_those_of_lava_dl(tiny: NetxModel, tmp_path: Path) -> None:
    write(tiny, tmp_path / "model.net")
    with h5py.File(tmp_path / "model.net") as file:
        conv, dense = file["layer/1"], file["layer/3"]
        assert conv["type"].dtype == np.dtype("S10")
        assert conv["type"].shape == (1,)
        assert conv["type"][0] == b"conv"
        assert list(conv["shape"]) == [4, 3, 5]
        assert list(conv["kernelSize"]) == [3, 2]
        assert (conv["inChannels"][()], conv["outChannels"][()]) == (2, 4)
        assert conv["weight"].shape == (4, 1, 3, 2)
        assert dense["neuron/type"][()] == b"CUBA"
        assert dense["neuron/vThMant"].shape == ()
        assert conv["neuron/vThMant"].shape == (4,)
        assert (dense["inFeatures"][()], dense["outFeatures"][()]) == (60, 3)
        assert list(dense["shape"]) == [3]
        assert "neuron" not in file["layer/4"]


def test_delays_of_whole_outputs_are_stored_once(tiny: NetxModel, tmp_path: Path) -> None:
    dense = tiny.layers[3]
    assert isinstance(dense, DenseLayer)
    delay = np.repeat(np.array([[0], [5], [62]]), 60, axis=1)
    layers = (*tiny.layers[:3], replace(dense, delay=delay), *tiny.layers[4:])
    write(replace(tiny, layers=layers), tmp_path / "model.net")
    with h5py.File(tmp_path / "model.net") as file:
        assert list(file["layer/3/delay"]) == [0, 5, 62]
    np.testing.assert_array_equal(read(tmp_path / "model.net").layers[3].delay, delay)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": np.full((6, 3), 300)}, r"layer 4 \(dense\): weight 300 outside \[-256, 255\]"),
        ({"weight": np.full((6, 3), 70000)}, r"weight 70000 outside \[-256, 255\]"),
        ({"weight": np.full((6, 3), 0.5)}, r"weight 0.5 is not an integer"),
        ({"bias": np.full(6, 2**31)}, r"bias 2147483648 outside \[-2147483648, 2147483647\]"),
        ({"delay": np.full((6, 3), 63)}, r"not read back equal: layer 4 \(dense\): delay differs"),
        ({"number": 7}, r"would not read back equal: layer 4 \(dense\): number differs"),
        ({"shape": (3, 2, 1)}, r"would not read back equal: layer 4 \(dense\): shape differs"),
    ],
)
def test_refuses_what_would_not_read_back(
    tiny: NetxModel, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "model.net"
    path.write_bytes(b"old")
    layers = (*tiny.layers[:4], replace(tiny.layers[4], **change), tiny.layers[5])
    with pytest.raises(ModelFileError, match=message):
        write(replace(tiny, layers=layers), path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.net"]


def test_names_a_path_that_cannot_be_written(tiny: NetxModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"file/model\.net: cannot be written"):
        write(tiny, tmp_path / "file" / "model.net")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder: cannot be written"):
        write(tiny, tmp_path / "folder")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
