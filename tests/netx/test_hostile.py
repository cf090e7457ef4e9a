"""Files made to mislead: each is refused by name, or read, quickly and in little memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurorobust.errors import ModelFileError
from neurorobust.netx import read

Edited = Callable[..., Path]


def _soft(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3/weight"] = h5py.SoftLink("/layer/4/weight")


def _external_link(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3/weight"] = h5py.ExternalLink("/etc/passwd", "/layer")


def _external_layer(file: Any) -> None:
    del file["layer"]
    file["layer"] = h5py.ExternalLink("other.net", "/layer")


def _external_data(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (3, 60), "i1", external=[("/dev/zero", 0, 180)])


def _virtual(file: Any) -> None:
    del file["layer/3/weight"]
    layout = h5py.VirtualLayout((3, 60), "i1")
    layout[:] = h5py.VirtualSource("other.net", "weight", (3, 60))
    file["layer/3"].create_virtual_dataset("weight", layout)


def _filtered(file: Any) -> None:
    weight = file["layer/3/weight"][()]
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", data=weight, compression="gzip", shuffle=True)


def _declared(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3"].create_dataset("weight", (1 << 20, 1 << 20), "i1", chunks=(64, 64))


def _shared(file: Any) -> None:
    """One stored matrix stands in many layers: each read is counted."""
    del file["layer"]
    file["data"] = np.ones((64, 64), dtype="i1")
    for number in range(40):
        group = file.create_group(f"layer/{number}")
        group["type"], group["shape"] = "dense", [64]
        group["weight"] = file["data"]
    del file["data"]


def _compound(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3/weight"] = np.zeros((3, 60), dtype=[("real", "f4"), ("imag", "f4")])


def _complex(file: Any) -> None:
    del file["layer/3/weight"]
    file["layer/3/weight"] = np.ones((3, 60), dtype=complex)


def _reference(file: Any) -> None:
    del file["layer/3/delay"]
    file["layer/3"].create_dataset("bias", data=file["layer/4"].ref, dtype=h5py.ref_dtype)


def _ragged(file: Any) -> None:
    del file["layer/4/bias"]
    kind = h5py.vlen_dtype(np.dtype("i4"))
    file["layer/4"].create_dataset("bias", (6,), dtype=kind)


def _null(file: Any) -> None:
    del file["layer/4/bias"]
    file["layer/4/bias"] = h5py.Empty("f4")


def _named_type(file: Any) -> None:
    del file["layer/4/bias"]
    file["layer/4/bias"] = np.dtype("i4")


def _loop(file: Any) -> None:
    del file["layer/3/neuron"]
    file["layer/3/neuron"] = file["layer/3"]


HOSTILE = {
    "soft": (_soft, "layer 3: 'weight' is a link (SoftLink), not data"),
    "external link": (_external_link, "layer 3: 'weight' is a link (ExternalLink), not data"),
    "external layer": (_external_layer, "'layer' is a link (ExternalLink), not data"),
    "external data": (_external_data, "layer 3 (dense): weight keeps its data in another file"),
    "virtual": (_virtual, "layer 3 (dense): weight is a virtual dataset, its data is elsewhere"),
    "filtered": (
        _filtered,
        "layer 3 (dense): weight is stored with filters 'shuffle,deflate', only plain data is read "
        "(h5repack -f NONE)",
    ),
    "compound": (
        _compound,
        "layer 3 (dense): weight holds [('real', '<f4'), ('imag', '<f4')], not numbers",
    ),
    "complex": (_complex, "layer 3 (dense): weight holds complex128, not numbers"),
    "reference": (_reference, "layer 3 (dense): bias holds object, not numbers"),
    "ragged": (_ragged, "layer 4 (dense): bias holds object, not numbers"),
    "null": (_null, "layer 4 (dense): bias is empty"),
    "named type": (_named_type, "layer 4 (dense): bias is not a dataset"),
    "loop": (_loop, "layer 3 (dense): neuron type 'dense' unknown, known: CUBA, LOIHI"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_message(name: str, edited: Edited) -> None:
    edit, message = HOSTILE[name]
    path = edited(edit)
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("edit", [_declared, _shared])
def test_no_more_data_than_the_file_holds(edit: Any, edited: Edited) -> None:
    path = edited(edit)
    size = path.stat().st_size
    with pytest.raises(ModelFileError, match=r"weight declares [0-9]+ bytes, all data together"):
        read(path)
    assert size < 100_000
