"""HDF5 as data from a stranger: what is opened, and what is refused before a byte of it is decoded.

Only plain groups and unfiltered numeric or text datasets of this one file are opened, and all of
them together may not declare more bytes than the file has. Links, virtual or external datasets and
filters could reach further: they are refused by name.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import h5py
import numpy as np
import numpy.typing as npt

from neurorobust.errors import ModelFileError
from neurorobust.netx.image import one_line
from neurorobust.netx.rules import DAMAGED, FORMAT, HOSTILE

MAX_MEMBERS = 1024  # of one group, hence also the number of layers
SIGNATURE = b"\x89HDF\r\n\x1a\n"
NUMERIC_KINDS = "biuf"


def quoted(name: str) -> str:
    """A name or text from the file, safe to print: escaped and short."""
    return one_line(ascii(name))


@dataclass
class _Allowance:
    """Bytes that datasets may still declare; together never more than the file has."""

    total: int
    spent: int = 0


@dataclass(frozen=True)
class Group:
    """A group of the file and the words that open every message about it.

    Attributes:
        where: e.g. `x.net: layer 3 (dense)`.
        prefix: path of the fields below that place, "" or e.g. `neuron/`.
    """

    handle: Any
    where: str
    allowance: _Allowance = field(repr=False)
    prefix: str = ""

    def fail(self, problem: str, rule: str) -> NoReturn:
        """Refuse the file, by a rule of `rules.RULES`."""
        raise ModelFileError(f"{self.where}: {problem}", rule)

    def named(self, where: str) -> Group:
        """The same group under another heading, its fields named from here on."""
        return replace(self, where=where, prefix="")

    def names(self) -> list[str]:
        """Its members, all of them hard links."""
        with self._damage():
            count = len(self.handle)
        if count > MAX_MEMBERS:
            self.fail(
                f"{self.prefix or '/'} has {count} members, the limit is {MAX_MEMBERS}", HOSTILE
            )
        with self._damage():
            names = [str(name) for name in self.handle]
            links = [type(self.handle.get(name, getlink=True)) for name in names]
        for name, link in zip(names, links, strict=True):
            if link is not h5py.HardLink:
                self.fail(
                    f"{quoted(self.prefix + name)} is a link ({link.__name__}), not data", HOSTILE
                )
        return names

    def group(self, name: str) -> Group:
        """The group below this one."""
        child = self._child(name)
        if not isinstance(child, h5py.Group):
            self.fail(f"{self.prefix}{name} is not a group", FORMAT)
        return Group(child, self.where, self.allowance, f"{self.prefix}{name}/")

    def is_group(self, name: str) -> bool:
        """Whether the member is a group itself."""
        return isinstance(self._child(name), h5py.Group)

    def array(self, name: str) -> npt.NDArray[Any]:
        """A numeric dataset, in the file's own dtype."""
        dataset = self._dataset(name)
        with self._damage(name):
            dtype = dataset.dtype
        if dtype.kind not in NUMERIC_KINDS or dtype.itemsize > 8:
            self.fail(f"{self.prefix}{name} holds {one_line(dtype)}, not numbers", FORMAT)
        with self._damage(name):
            return np.asarray(dataset[()])

    def text(self, name: str) -> str:
        """One ascii string: scalar or of shape (1,), of fixed or variable length."""
        dataset = self._dataset(name)
        with self._damage(name):
            dtype, shape = dataset.dtype, dataset.shape
            is_text = dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None
        if not is_text:
            self.fail(f"{self.prefix}{name} holds {one_line(dtype)}, not text", FORMAT)
        if shape not in ((), (1,)):
            self.fail(f"{self.prefix}{name} has shape {shape}, needs a single text", FORMAT)
        with self._damage(name):
            raw = bytes(dataset[()] if shape == () else dataset[0])
        if not raw.isascii():
            self.fail(f"{self.prefix}{name} {one_line(raw)} is not ascii", FORMAT)
        return raw.decode("ascii")

    def _child(self, name: str) -> Any:
        with self._damage():
            link = self.handle.get(name, getlink=True) if name in self.handle else None
        if link is None:
            self.fail(f"{self.prefix}{name} missing", FORMAT)
        if type(link) is not h5py.HardLink:
            self.fail(f"{self.prefix}{name} is a link ({type(link).__name__}), not data", HOSTILE)
        with self._damage(name):
            return self.handle[name]

    def _dataset(self, name: str) -> Any:
        child = self._child(name)
        if not isinstance(child, h5py.Dataset):
            self.fail(f"{self.prefix}{name} is not a dataset", FORMAT)
        with self._damage(name):
            plist = child.id.get_create_plist()
            layout = plist.get_layout()
            external = plist.get_external_count()
            filters = [plist.get_filter(i)[3] for i in range(plist.get_nfilters())]
            empty = child.id.get_space().get_simple_extent_type() == h5py.h5s.NULL
            declared = int(child.id.get_space().get_simple_extent_npoints()) * int(
                child.id.get_type().get_size()
            )
        if external:
            self.fail(f"{self.prefix}{name} keeps its data in another file", HOSTILE)
        if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
            self.fail(f"{self.prefix}{name} is a virtual dataset, its data is elsewhere", HOSTILE)
        if filters:
            label = quoted(b",".join(filters).decode("ascii", "replace"))
            self.fail(
                f"{self.prefix}{name} is stored with filters {label}, only plain data is read "
                "(h5repack -f NONE)",
                HOSTILE,
            )
        if empty:
            self.fail(f"{self.prefix}{name} is empty", FORMAT)
        self.allowance.spent += declared
        if declared < 0 or self.allowance.spent > self.allowance.total:
            self.fail(
                f"{self.prefix}{name} declares {declared} bytes, all data together then exceeds "
                f"the file's {self.allowance.total}",
                HOSTILE,
            )
        return child

    @contextmanager
    def _damage(self, name: str = "") -> Iterator[None]:
        """Whatever h5py raises inside is damage in the file."""
        place = f"{self.prefix}{name}: " if name else ""
        try:
            yield
        except Exception as error:
            raise ModelFileError(
                f"{self.where}: {place}damaged HDF5 ({one_line(error)})", DAMAGED
            ) from error


def unique_name() -> bytes:
    """A name for a file in memory: HDF5 takes two of the same name for one file."""
    return secrets.token_hex(16).encode("ascii")


@contextmanager
def opened(image: bytes, name: str) -> Iterator[Group]:
    """The root group of an HDF5 file held in memory.

    Args:
        image: the file's bytes.
        name: what messages call it, usually the path.

    Raises:
        ModelFileError: empty, not HDF5, truncated or damaged.
    """
    if not image:
        raise ModelFileError(f"{name}: empty file", DAMAGED)
    offsets = (0, *(512 << n for n in range(len(image).bit_length())))
    if all(image[offset : offset + 8] != SIGNATURE for offset in offsets):
        raise ModelFileError(f"{name}: not an HDF5 file", DAMAGED)
    try:
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_fapl_core(backing_store=False)
        access.set_file_image(image)
        file = h5py.File(h5py.h5f.open(unique_name(), h5py.h5f.ACC_RDONLY, fapl=access))
    except Exception as error:
        raise ModelFileError(
            f"{name}: truncated or damaged HDF5 ({one_line(error)})", DAMAGED
        ) from error
    root = Group(file, name, _Allowance(len(image)))
    try:
        yield root
    finally:
        with root._damage():
            file.close()
