"""The message of every refusal, in full."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurorobust.errors import ModelFileError
from neurorobust.netx import read
from neurorobust.netx.hdf5 import MAX_MEMBERS
from neurorobust.netx.image import MAX_FILE_BYTES

Edited = Callable[..., Path]


def put(name: str, value: Any) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return edit


def drop(name: str) -> Callable[[Any], None]:
    return lambda file: file.__delitem__(name)


def several(*edits: Callable[[Any], None]) -> Callable[[Any], None]:
    def edit(file: Any) -> None:
        for one in edits:
            one(file)

    return edit


def spoil(name: str, index: int, value: float) -> Callable[[Any], None]:
    """Replace one entry of a field."""

    def edit(file: Any) -> None:
        values = file[name][()].astype(np.float64)
        values.flat[index] = value
        put(name, values)(file)

    return edit


KNOWN_TYPES = "known: input, dense, dense_rec, conv, flatten, average"


def recur(file: Any) -> None:
    """Layer 4, 3 inputs and 6 neurons, tells itself what it did."""
    put("layer/4/type", "dense_rec")(file)
    put("layer/4/weight_rec", np.eye(6, dtype=np.int16))(file)


REFUSALS = {
    # types
    "pool": (
        put("layer/1/type", "pool"),
        f"layer 1: type 'pool' unknown, {KNOWN_TYPES}: "
        "use a strided conv, grouped and with constant weights",
    ),
    "dense_rec": (
        put("layer/4/type", "dense_rec"),
        "layer 4 (dense_rec): weight_rec missing",
    ),
    "recurrent delay": (
        several(recur, put("layer/4/delay", np.zeros(6))),
        "layer 4 (dense_rec): delay: NetX loses the weights' exponent of delayed recurrent layers",
    ),
    "recurrent shape": (
        several(recur, put("layer/4/weight_rec", np.ones((6, 3)))),
        "layer 4 (dense_rec): weight_rec has shape (6, 3), needs (6, 6)",
    ),
    "recurrent range": (
        several(recur, spoil("layer/4/weight_rec", 3, -257)),
        "layer 4 (dense_rec): weight_rec -257 outside [-256, 254]",
    ),
    "recurrent sign": (
        several(recur, spoil("layer/4/weight_rec", 3, 255)),
        "layer 4 (dense_rec): weight 255 outside [-256, 254]",
    ),
    "recurrent silence": (
        several(
            recur,
            put("layer/4/weight_rec", np.zeros((6, 6))),
            put("layer/4/weight", np.zeros((6, 3))),
        ),
        "layer 4 (dense_rec): dense weights are all zero: Lava cannot scale such a matrix",
    ),
    "recurrent weights in a dense layer": (
        put("layer/4/weight_rec", np.eye(6)),
        "layer 4 (dense): unknown field 'weight_rec', known: bias, delay, inFeatures, neuron, "
        "outFeatures, shape, type, weight",
    ),
    "odd type": (put("layer/1/type", "a\nb"), f"layer 1: type 'a\\nb' unknown, {KNOWN_TYPES}"),
    "kwta": (
        several(drop("layer/5"), lambda f: f.create_group("layer/5")),
        "layer 5: holds nothing (lava-dl exports KWTA and other blocks it cannot describe so)",
    ),
    "sdnn": (
        put("layer/3/neuron/type", "SDNN"),
        "layer 3 (dense): neuron type 'SDNN' unknown, known: CUBA, LOIHI",
    ),
    "decay in floats": (
        put("layer/3/neuron/iDecay", np.array([1024.0])),
        "layer 3 (dense): neuron/iDecay is stored as float64, which Lava cannot shift",
    ),
    "rf": (
        put("layer/1/neuron/type", "RF_PHASE"),
        "layer 1 (conv): neuron type 'RF_PHASE' unknown, known: CUBA, LOIHI",
    ),
    "complex": (
        several(drop("layer/3/weight"), put("layer/3/weight/imag", [1])),
        "layer 3 (dense): weight/real, weight/imag: complex synapses are not computed here",
    ),
    # fields
    "no layer": (drop("layer"), "layer missing"),
    "no layers": (
        several(drop("layer"), lambda f: f.create_group("layer")),
        "layer holds no layers",
    ),
    "layer is data": (several(drop("layer"), put("layer", 1)), "layer is not a group"),
    "gap": (lambda f: f.move("layer/3", "layer/x"), "layer 3 missing, found 'x' instead"),
    "zeros": (lambda f: f.move("layer/3", "layer/03"), "layer 3 missing, found '03' instead"),
    "layer a number": (put("layer/5", 1), "layer/5 is not a group"),
    "no type": (drop("layer/3/type"), "layer 3: type missing"),
    "no shape": (drop("layer/3/shape"), "layer 3 (dense): shape missing"),
    "no weight": (drop("layer/3/weight"), "layer 3 (dense): weight missing"),
    "no stride": (drop("layer/1/stride"), "layer 1 (conv): stride missing"),
    "no decay": (drop("layer/3/neuron/iDecay"), "layer 3 (dense): neuron/iDecay missing"),
    "no threshold": (drop("layer/0/neuron/vThMant"), "layer 0 (input): neuron/vThMant missing"),
    "no neuron": (drop("layer/1/neuron"), "layer 1 (conv): neuron missing"),
    "neuron is data": (
        several(drop("layer/3/neuron"), put("layer/3/neuron", 1)),
        "layer 3 (dense): neuron is not a group",
    ),
    "unknown field": (
        put("layer/2/colour", 1),
        "layer 2 (flatten): unknown field 'colour', known: shape, type",
    ),
    "unknown neuron field": (
        put("layer/3/neuron/wgt", 1),
        "layer 3 (dense): unknown field 'neuron/wgt', known: gradedSpike, iDecay, messageBits, "
        "refDelay, scaleRho, tauRho, theta, type, vDecay, vThMant, weight_exp, wgtExp",
    ),
    "unknown root field": (put("extra", 1), "unknown field 'extra', known: layer, simulation"),
    # what Lava drops in silence
    "weight_exp": (
        put("layer/3/neuron/weight_exp", [0, 2, 0]),
        "layer 3 (dense): neuron/weight_exp 2 is not 0: "
        "Lava ignores it, export must fold it into vThMant",
    ),
    "wgtExp": (
        put("layer/3/neuron/wgtExp", -1),
        "layer 3 (dense): neuron/wgtExp -1 is not 0: "
        "Lava ignores it, export must fold it into vThMant",
    ),
    "graded": (
        put("layer/3/neuron/gradedSpike", True),
        "layer 3 (dense): neuron/gradedSpike 1 is not 0: graded spikes are dropped by Lava",
    ),
    "messages": (
        put("layer/3/neuron/messageBits", 16),
        "layer 3 (dense): neuron/messageBits 16 is not 0: graded messages are not computed here",
    ),
    "conv delay": (
        put("layer/1/delay", [0.0, 0.0, 3.0, 0.0]),
        "layer 1 (conv): delay 3 is not 0: NetX drops the delays of conv layers in silence",
    ),
    # values
    "dense weight": (
        spoil("layer/3/weight", 5, 300),
        "layer 3 (dense): weight 300 outside [-256, 254]",
    ),
    "dense low": (
        spoil("layer/3/weight", 5, -258),
        "layer 3 (dense): weight -258 outside [-256, 254]",
    ),
    "dense 255": (
        spoil("layer/3/weight", 5, 255),
        "layer 3 (dense): weight 255 outside [-256, 254]",
    ),
    "excitatory": (
        put("layer/3/weight", np.full((3, 60), 256)),
        "layer 3 (dense): weight 256 outside [-256, 255]",
    ),
    "zero weights": (
        put("layer/3/weight", np.zeros((3, 60))),
        "layer 3 (dense): dense weights are all zero: Lava cannot scale such a matrix",
    ),
    "fraction": (
        spoil("layer/3/weight", 5, 1.5),
        "layer 3 (dense): weight 1.5 is not an integer, NetX would truncate it",
    ),
    "nan": (spoil("layer/3/weight", 5, np.nan), "layer 3 (dense): weight nan is not finite"),
    "conv weight": (
        spoil("layer/1/weight", 5, 300),
        "layer 1 (conv): weight 300 outside [-256, 254]",
    ),
    "input nan": (put("layer/0/weight", np.inf), "layer 0 (input): weight inf is not finite"),
    "input weights": (
        put("layer/0/weight", [1.0, 2.0]),
        "layer 0 (input): weight has shape (2,), needs a single number",
    ),
    "ignored nan": (
        put("layer/3/neuron/theta", np.nan),
        "layer 3 (dense): neuron/theta nan is not finite",
    ),
    "features nan": (
        put("layer/3/inFeatures", np.nan),
        "layer 3 (dense): inFeatures nan is not finite",
    ),
    "decay": (
        put("layer/3/neuron/iDecay", 4097),
        "layer 3 (dense): neuron/iDecay 4097 outside [0, 4096]",
    ),
    "decay low": (
        put("layer/3/neuron/vDecay", -1),
        "layer 3 (dense): neuron/vDecay -1 outside [0, 4096]",
    ),
    "threshold low": (
        put("layer/3/neuron/vThMant", -1),
        "layer 3 (dense): neuron/vThMant -1 outside [0, 33554431]",
    ),
    "threshold": (
        put("layer/3/neuron/vThMant", 1 << 25),
        "layer 3 (dense): neuron/vThMant 33554432 outside [0, 33554431]",
    ),
    "channels": (
        put("layer/1/neuron/vDecay", [1, 2, 3]),
        "layer 1 (conv): neuron/vDecay has shape (3,), needs 1 entry or 4 (one a channel)",
    ),
    "channel axes": (
        put("layer/1/neuron/vDecay", np.ones((4, 1))),
        "layer 1 (conv): neuron/vDecay has shape (4, 1), needs 1 entry or 4 (one a channel)",
    ),
    "bias": (
        put("layer/4/bias", np.full(6, 2.0**31)),
        "layer 4 (dense): bias 2147483648 outside [-2147483648, 2147483647]",
    ),
    "unsigned bias": (
        put("layer/4/bias", np.full(6, 2**64 - 1, dtype=np.uint64)),
        "layer 4 (dense): bias 18446744073709551615 outside [-2147483648, 2147483647]",
    ),
    "bias length": (
        put("layer/4/bias", [1, 2, 3, 4]),
        "layer 4 (dense): bias has shape (4,), needs 6 entries (one an output)",
    ),
    "conv bias length": (
        put("layer/1/bias", [1]),
        "layer 1 (conv): bias has shape (1,), needs 4 entries (one an output)",
    ),
    "delay": (put("layer/4/delay", [-1, 0, 0, 0, 0, 0]), "layer 4 (dense): delay -1 below 0"),
    "delay nan": (put("layer/4/delay", [np.nan] * 6), "layer 4 (dense): delay nan is not finite"),
    "delay length": (
        put("layer/4/delay", [1, 2]),
        "layer 4 (dense): delay has shape (2,), needs (6,), (3,) or (6, 3)",
    ),
    "stride": (put("layer/1/stride", [1, 0]), "layer 1 (conv): stride 0 outside [1, 127]"),
    "stride 3": (
        put("layer/1/stride", [1, 1, 1]),
        "layer 1 (conv): stride has shape (3,), needs 1 or 2 entries",
    ),
    "padding": (put("layer/1/padding", [-1, 0]), "layer 1 (conv): padding -1 outside [0, 127]"),
    "groups": (put("layer/1/groups", 200), "layer 1 (conv): groups 200 outside [1, 127]"),
    "groups 2": (
        put("layer/1/groups", [2, 2]),
        "layer 1 (conv): groups has shape (2,), needs a single number",
    ),
    "kernel": (
        put("layer/1/weight", np.ones((4, 1, 1, 128))),
        "layer 1 (conv): weight has a kernel (1, 128), Lava holds at most 127",
    ),
    # shapes
    "no entries": (
        put("layer/3/shape", np.array([], dtype=int)),
        "layer 3 (dense): shape has shape (0,), holds nothing",
    ),
    "no booleans": (
        put("layer/3/weight", np.zeros((0, 3), dtype=bool)),
        "layer 3 (dense): weight has shape (0, 3), holds nothing",
    ),
    "scalar shape": (
        put("layer/3/shape", 3),
        "layer 3 (dense): shape has shape () itself, needs 1 to 3 entries",
    ),
    "four entries": (
        put("layer/0/shape", [1, 2, 6, 6]),
        "layer 0 (input): shape has shape (4,) itself, needs 1 to 3 entries",
    ),
    "zero entry": (
        put("layer/0/shape", [2, 0, 6]),
        "layer 0 (input): shape 0 outside [1, 16777216]",
    ),
    "huge": (
        put("layer/0/shape", [1 << 20, 1 << 20, 1 << 20]),
        "layer 0 (input): shape (1048576, 1048576, 1048576) means more than 16777216 neurons",
    ),
    "text for numbers": (
        put("layer/3/shape", "big"),
        "layer 3 (dense): shape holds object, not numbers",
    ),
    "number for text": (put("layer/3/type", 3), "layer 3: type holds int64, not text"),
    "two types": (
        put("layer/3/type", np.array([b"dense", b"conv"])),
        "layer 3: type has shape (2,), needs a single text",
    ),
    "accent": (put("layer/3/type", "dénse"), "layer 3: type b'd\\xc3\\xa9nse' is not ascii"),
    "conv shape": (
        put("layer/1/shape", [60]),
        "layer 1 (conv): shape (60,) needs 3 entries (C, H, W)",
    ),
    "conv kernel": (
        put("layer/1/weight", np.ones((4, 1, 3))),
        "layer 1 (conv): weight has shape (4, 1, 3), needs (out, in / groups, kH, kW)",
    ),
    "conv axis": (
        put("layer/1/weight", np.ones((4, 1, 3, 2, 2))),
        "layer 1 (conv): weight has shape (4, 1, 3, 2, 2), needs (out, in / groups, kH, kW)",
    ),
    "dense axes": (
        put("layer/3/weight", np.ones((3, 60, 1))),
        "layer 3 (dense): weight has shape (3, 60, 1), needs (3, inputs)",
    ),
    "dense outputs": (
        put("layer/3/shape", [4]),
        "layer 3 (dense): weight has shape (3, 60), needs (4, inputs)",
    ),
    "flat weight": (
        put("layer/3/weight", np.ones(100)),
        "layer 3 (dense): weight has shape (100,), needs (3, inputs)",
    ),
    # the chain
    "conv output": (
        put("layer/1/shape", [4, 3, 6]),
        "layer 1 (conv): shape (4, 3, 6), but the convolution gives (4, 3, 5)",
    ),
    "conv channels": (
        put("layer/0/shape", [3, 6, 6]),
        "layer 1 (conv): weight takes 1 channels in each of 2 groups, the layer before has 3",
    ),
    "conv groups": (
        several(
            put("layer/1/weight", np.ones((3, 1, 3, 2))),
            put("layer/1/shape", [3, 3, 5]),
            put("layer/1/bias", [1, 2, 3]),
            put("layer/1/neuron/vThMant", 1),
        ),
        "layer 1 (conv): 3 channels do not divide into 2 groups",
    ),
    "dense inputs": (
        several(put("layer/3/weight", np.ones((3, 59))), drop("layer/3/delay")),
        "layer 3 (dense): weight takes 59 inputs, the layer before gives 60",
    ),
    "no flatten": (
        several(
            drop("layer/2"),
            lambda f: [f.move(f"layer/{n}", f"layer/{n - 1}") for n in (3, 4, 5)],
        ),
        "layer 2 (dense): follows shape (4, 3, 5), Lava needs a flatten layer between",
    ),
    "flatten size": (
        put("layer/2/shape", [61, 1, 1]),
        "layer 2 (flatten): shape (61, 1, 1) does not fit the 60 neurons before it",
    ),
    "average size": (
        put("layer/5/shape", [4, 1, 1]),
        "layer 5 (average): shape (4, 1, 1) does not fit the 6 neurons before it",
    ),
    "two averages": (
        lambda f: (f.move("layer/5", "layer/6"), f.copy("layer/6", "layer/5")),
        "layer 6 (average): follows an average layer, which must be the last",
    ),
    "late input": (
        several(drop("layer/5"), lambda f: f.copy("layer/0", "layer/5")),
        "layer 5 (input): an input layer must be the first",
    ),
    "conv first": (
        several(
            drop("layer/0"), lambda f: [f.move(f"layer/{n + 1}", f"layer/{n}") for n in range(5)]
        ),
        "layer 0 (conv): the input shape is unknown: no input layer before the first conv layer",
    ),
    "conv late": (
        several(drop("layer/5"), lambda f: f.copy("layer/1", "layer/5")),
        "layer 5 (conv): follows a dense layer, which has no height and width",
    ),
    "no neurons": (
        several(
            *(drop(f"layer/{n}") for n in range(1, 6)),
            drop("layer/0/neuron"),
        ),
        "none of its 1 layers holds neurons",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_message(name: str, edited: Edited) -> None:
    edit, message = REFUSALS[name]
    path = edited(edit)
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"


def test_missing_empty_foreign_and_truncated_files(edited: Edited, tmp_path: Path) -> None:
    whole = edited(lambda f: None).read_bytes()
    cases = {
        "nowhere.net": (None, "nowhere.net: no such file"),
        "empty.net": (b"", "empty.net: empty file"),
        "text.net": (b"layer" * 100, "text.net: not an HDF5 file"),
        "cut.net": (whole[:3000], "cut.net: truncated or damaged HDF5 (Unable to"),
        "head.net": (whole[:8], "head.net: truncated or damaged HDF5 (Unable to"),
    }
    for name, (data, message) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(ModelFileError) as caught:
            read(tmp_path / name)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="not a regular file"):
        read(tmp_path)
    with pytest.raises(ModelFileError, match="/dev/zero: not a regular file"):
        read("/dev/zero")
    (tmp_path / "loop.net").symlink_to(tmp_path / "loop.net")
    with pytest.raises(ModelFileError, match=r"loop\.net: cannot be read"):
        read(tmp_path / "loop.net")


def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "big.net"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no space
    with pytest.raises(ModelFileError, match=r"big\.net: 268435457 bytes, the limit is 268435456"):
        read(path)


def test_more_layers_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "many.net"
    with h5py.File(path, "w") as file:
        for number in range(MAX_MEMBERS + 1):
            file.create_group(f"layer/{number}")
    with pytest.raises(ModelFileError, match="layer/ has 1025 members, the limit is 1024"):
        read(path)
