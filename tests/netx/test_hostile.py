"""Files made to mislead: each is refused by name, or read, quickly and in little memory."""

from __future__ import annotations

import resource
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurorobust.errors import ModelFileError
from neurorobust.netx import read
from neurorobust.netx.inspect import inspect

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


def heap_reference(path: Path) -> int:
    """Where the file keeps length, address and index of the text of layer 3's neuron type."""
    with h5py.File(path) as file:
        return int(file["layer/3/neuron/type"].id.get_offset())


def long_text(file: Any) -> None:
    """As SLAYER stores it: a text of variable length."""
    del file["layer/3/neuron/type"]
    file["layer/3/neuron/type"] = "CUBA"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda at, heap: (at, "<I", 0x9C000000), "declares a text of 2617245696 bytes, the limit"),
        (lambda at, heap: (at + 4, "<Q", 1 << 40), "keeps its text beyond the end of the file"),
        (
            lambda at, heap: (heap + 8, "<Q", 1 << 31),
            "keeps its text in a damaged heap (2147483648 b",
        ),
        (lambda at, heap: (heap, "<4s", b"HEAP"), "keeps its text in a damaged heap"),
        (
            lambda at, heap: (heap + 16, "<HHIQ", (0, 0, 0, 0)),
            "keeps its text in a damaged heap (an",
        ),
    ],
    ids=["length", "address", "size", "signature", "endless"],
)
def test_a_text_is_looked_at_before_it_is_allocated(
    change: Any, message: str, edited: Edited
) -> None:
    path = edited(long_text)
    assert len(read(path).layers) == 6
    image = bytearray(path.read_bytes())
    at = heap_reference(path)
    place, kind, value = change(at, struct.unpack_from("<IQI", image, at)[1])
    struct.pack_into(kind, image, place, *(value if isinstance(value, tuple) else (value,)))
    path.write_bytes(image)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert f"layer 3 (dense): neuron/type {message}" in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB


LONG = "\x1b[31m" + 5000 * "9"
NAMED: dict[str, Callable[[Any], object]] = {
    "layer": lambda file: file.move("layer/3", f"layer/{LONG}"),
    "digits": lambda file: file.move("layer/3", "layer/" + 5000 * "9"),
    "field": lambda file: file.create_dataset(f"layer/3/{LONG}", data=1),
    "link": lambda file: file.__setitem__(f"layer/3/{LONG}", h5py.SoftLink("/layer")),
    "type": lambda file: put_text(file, "layer/3/neuron/type", "x" * 1000 + "\x1b"),
    "root": lambda file: file.create_group(LONG),
}


def put_text(file: Any, name: str, text: str) -> None:
    del file[name]
    file[name] = text


@pytest.mark.parametrize("name", NAMED)
def test_names_from_a_file_are_cut_and_cannot_steer_a_terminal(name: str, edited: Edited) -> None:
    path = edited(NAMED[name])
    found = inspect(path.read_bytes(), "x.net")
    with pytest.raises(ModelFileError) as caught:
        read(path)
    assert found
    for said in (str(caught.value), *(row.message for row in found)):
        assert said.isprintable()
        assert len(said) < 250 + len(str(path))


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.net"
    path.write_text("version https://git-lfs.example/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ModelFileError) as caught:
        read(path)
    said = "a Git LFS pointer, not the file itself; `git lfs pull` fetches it"
    assert str(caught.value) == f"{path}: {said}"
    (finding,) = inspect(path.read_bytes(), "x.net")
    assert (finding.rule.remedy, finding.message) == ("git lfs pull", said)
