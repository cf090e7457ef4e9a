"""Text of variable length in HDF5, looked at before the library allocates what it declares.

A dataset of such text holds, for each text, its length (4 bytes), the address of a global heap
(8 bytes) and an index (4 bytes). The library believes the size that the heap's header declares and
allocates it before it compares it with the file; and it walks along the heap's objects by the sizes
that they declare, without end where one is 0.
"""

from __future__ import annotations

import struct
from typing import Any

import h5py

MAX_TEXT = 1024  # bytes
_ENTRY = struct.Struct("<IQI")
_HEAP = struct.Struct("<4s4xQ")  # signature, version and three zeros, size
_OBJECT = struct.Struct("<H6xQ")  # index, references and four zeros, size


def text_problem(dataset: Any, image: bytes, base: int) -> str | None:
    """Why one text of variable length is not read; None: it is safe to.

    Args:
        dataset: of one text.
        image: the file's bytes.
        base: where HDF5's addresses count from (the size of the user block).
    """
    if dataset.file.id.get_create_plist().get_sizes() != (8, 8):
        return "is stored with addresses of other than 8 bytes"
    offset = dataset.id.get_offset()
    if dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS or offset is None:
        return "is no plain text"
    if offset + _ENTRY.size > len(image):
        return "lies beyond the end of the file"
    length, address, _ = _ENTRY.unpack_from(image, offset)
    if length == 0:
        return None
    if length > MAX_TEXT:
        return f"declares a text of {length} bytes, the limit is {MAX_TEXT}"
    heap = base + address
    if heap + _HEAP.size > len(image):
        return "keeps its text beyond the end of the file"
    signature, size = _HEAP.unpack_from(image, heap)
    if signature != b"GCOL" or heap + size > len(image):
        return f"keeps its text in a damaged heap ({size} bytes declared)"
    if not _ends(image, heap + _HEAP.size, heap + size):
        return "keeps its text in a damaged heap (an object that does not end)"
    return None


def _ends(image: bytes, place: int, end: int) -> bool:
    """Whether a walk along a heap's objects ends with it; the library's own would go round."""
    while place + _OBJECT.size <= end:
        index, size = _OBJECT.unpack_from(image, place)
        step = _OBJECT.size + size + -size % 8 if index else size  # 0: what is free, all of it
        if not _OBJECT.size <= step <= end - place:
            return False
        place += step
    return True
