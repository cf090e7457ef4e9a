"""HDF5 as data from a stranger: what is opened, and what is refused before a byte of it is decoded.

Only plain groups and numeric or text datasets of this one file are opened, and all of them together
may not declare more bytes than the file has, or than the caller allows. Links, virtual or external
datasets and filters could reach further: they are refused by name.
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
from neurorobust.netx.heap import text_problem
from neurorobust.netx.image import check_signature, one_line, quoted
from neurorobust.netx.rules import DAMAGED, FORMAT, HOSTILE

MAX_MEMBERS = 1024  # of one group, hence also the number of layers
NUMERIC_KINDS = "biuf"


@dataclass
class _Source:
    """The file's bytes, and how many bytes its datasets may declare together."""

    image: bytes
    total: int
    filters: frozenset[int]
    base: int
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
    source: _Source = field(repr=False)
    prefix: str = ""

    def fail(self, problem: str, rule: str) -> NoReturn:
        """Refuse the file, by a rule of `rules.RULES`."""
        raise ModelFileError(f"{self.where}: {problem}", rule)

    def named(self, where: str) -> Group:
        """The same group under another heading, its fields named from here on."""
        return replace(self, where=where, prefix="")

    def label(self, name: str) -> str:
        """A member as messages call it."""
        return one_line(self.prefix + name, 80)

    def names(self) -> list[str]:
        """Its members, all of them hard links."""
        with self._damage():
            count = len(self.handle)
        if count > MAX_MEMBERS:
            self.fail(
                f"{one_line(self.prefix or '/')} has {count} members, the limit is {MAX_MEMBERS}",
                HOSTILE,
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
            self.fail(f"{self.label(name)} is not a group", FORMAT)
        return Group(child, self.where, self.source, f"{self.prefix}{name}/")

    def is_group(self, name: str) -> bool:
        """Whether the member is a group itself."""
        return isinstance(self._child(name), h5py.Group)

    def array(self, name: str) -> npt.NDArray[Any]:
        """A numeric dataset, in the file's own dtype."""
        dataset = self._dataset(name)
        with self._damage(name):
            dtype = dataset.dtype
        if dtype.kind not in NUMERIC_KINDS or dtype.itemsize > 8:
            self.fail(f"{self.label(name)} holds {one_line(dtype)}, not numbers", FORMAT)
        with self._damage(name):
            return np.asarray(dataset[()])

    def declared(self, name: str) -> None:
        """Refuse a dataset for where its data lies, or how much it declares; read nothing.

        Raises:
            ModelFileError: data elsewhere, a filter that is not allowed, or too much declared.
        """
        self._dataset(name)

    def text(self, name: str) -> str:
        """One ascii string: scalar or of shape (1,), of fixed or variable length."""
        dataset = self._dataset(name)
        with self._damage(name):
            dtype, shape = dataset.dtype, dataset.shape
            is_text = dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None
        if not is_text:
            self.fail(f"{self.label(name)} holds {one_line(dtype)}, not text", FORMAT)
        if shape not in ((), (1,)):
            self.fail(f"{self.label(name)} has shape {shape}, needs a single text", FORMAT)
        if dtype.kind != "S":
            with self._damage(name):
                problem = text_problem(dataset, self.source.image, self.source.base)
            if problem is not None:
                self.fail(f"{self.label(name)} {problem}", HOSTILE)
        with self._damage(name):
            raw = bytes(dataset[()] if shape == () else dataset[0])
        if not raw.isascii():
            self.fail(f"{self.label(name)} {one_line(raw)} is not ascii", FORMAT)
        return raw.decode("ascii")

    def _child(self, name: str) -> Any:
        with self._damage():
            link = self.handle.get(name, getlink=True) if name in self.handle else None
        if link is None:
            self.fail(f"{self.label(name)} missing", FORMAT)
        if type(link) is not h5py.HardLink:
            self.fail(f"{self.label(name)} is a link ({type(link).__name__}), not data", HOSTILE)
        with self._damage(name):
            return self.handle[name]

    def _dataset(self, name: str) -> Any:
        child = self._child(name)
        if not isinstance(child, h5py.Dataset):
            self.fail(f"{self.label(name)} is not a dataset", FORMAT)
        with self._damage(name):
            plist = child.id.get_create_plist()
            layout = plist.get_layout()
            external = plist.get_external_count()
            filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
            empty = child.id.get_space().get_simple_extent_type() == h5py.h5s.NULL
            declared = int(child.id.get_space().get_simple_extent_npoints()) * int(
                child.id.get_type().get_size()
            )
        if external:
            self.fail(f"{self.label(name)} keeps its data in another file", HOSTILE)
        if layout not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
            self.fail(f"{self.label(name)} is a virtual dataset, its data is elsewhere", HOSTILE)
        if any(row[0] not in self.source.filters for row in filters):
            label = quoted(b",".join(row[3] for row in filters).decode("ascii", "replace"))
            self.fail(
                f"{self.label(name)} is stored with filters {label}, only plain data is read "
                "(h5repack -f NONE)",
                HOSTILE,
            )
        if empty:
            self.fail(f"{self.label(name)} is empty", FORMAT)
        self.source.spent += declared
        if declared < 0 or self.source.spent > self.source.total:
            self.fail(
                f"{self.label(name)} declares {declared} bytes, all data together then exceeds "
                f"the {self.source.total} that this file may hold",
                HOSTILE,
            )
        return child

    @contextmanager
    def _damage(self, name: str = "") -> Iterator[None]:
        """Whatever h5py raises inside is damage in the file."""
        place = f"{self.label(name)}: " if name else ""
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
def opened(
    image: bytes, name: str, total: int | None = None, filters: frozenset[int] = frozenset()
) -> Iterator[Group]:
    """The root group of an HDF5 file held in memory.

    Args:
        image: the file's bytes.
        name: what messages call it, usually the path.
        total: bytes that all datasets together may declare; None: as many as the file has.
        filters: numbers of the HDF5 filters that data may be stored with.

    Raises:
        ModelFileError: empty, not HDF5, truncated or damaged.
    """
    check_signature(image, name)
    try:
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_fapl_core(backing_store=False)
        access.set_file_image(image)
        file = h5py.File(h5py.h5f.open(unique_name(), h5py.h5f.ACC_RDONLY, fapl=access))
        base = file.id.get_create_plist().get_userblock()
    except Exception as error:
        raise ModelFileError(
            f"{name}: truncated or damaged HDF5 ({one_line(error)})", DAMAGED
        ) from error
    source = _Source(image, len(image) if total is None else total, filters, base)
    root = Group(file, name, source)
    try:
        yield root
    finally:
        with root._damage():
            file.close()
