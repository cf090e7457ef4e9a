"""Run by test_fuzz.py: read files that were damaged at random (seeded), a line of JSON each."""

from __future__ import annotations

import io
import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurorobust.errors import ModelFileError
from neurorobust.netx.compare import difference
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise

MEMORY = 500 << 20  # bytes of address space
BLOCKS = (b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f\0\0\0\0", b"\x80" * 4)
TYPES = ("i1", "u8", ">i8", "f2", "f8", "f16", "c8", "S3", "?", "V5", [("a", "i4")])
SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (3,), (60, 3), (1 << 40,), (9, 1 << 33))


def damage_bytes(image: bytes, dice: random.Random) -> bytes:
    """Flip bits, overwrite blocks, cut."""
    data = bytearray(image)
    for _ in range(dice.randint(1, 12)):
        place = dice.randrange(len(data))
        action = dice.random()
        if action < 0.6:
            data[place] ^= 1 << dice.randrange(8)
        elif action < 0.96:
            block = dice.choice((*BLOCKS, dice.randrange(len(image)).to_bytes(8, "little")))
            data[place : place + len(block)] = block
        else:
            del data[max(place, 1) :]
    return bytes(data)


def damage_fields(image: bytes, dice: random.Random) -> bytes:
    """Give up to three fields another type, shape or value, or none."""
    buffer = io.BytesIO(image)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for name in dice.sample(sorted(names), dice.randint(1, 3)):
            if name not in file:
                continue  # its group is gone
            old = file[name][()] if isinstance(file[name], h5py.Dataset) else None
            del file[name]
            action = dice.random()
            if action < 0.5:
                replace(file, name, dice)
            elif action < 0.8 and old is not None and np.asarray(old).dtype.kind in "iuf":
                file[name] = np.asarray(old) * dice.choice((1, 1.0, -1, 0.5, 2, np.nan, 1e12))
    return buffer.getvalue()


def replace(file: Any, name: str, dice: random.Random) -> None:
    """A field of any type and shape; huge ones are declared only."""
    shape, kind = dice.choice(SHAPES), np.dtype(dice.choice(TYPES))
    chunks = tuple(min(size, 8) for size in shape) if np.prod(shape, dtype=float) > 1e6 else None
    file.create_dataset(name, shape, kind, chunks=chunks)


def damage_structure(image: bytes, dice: random.Random) -> bytes:
    """Links of every kind, data elsewhere, objects in each other's place."""
    buffer = io.BytesIO(image)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name, other = dice.sample(sorted(names), 2)
        target = file[other]
        del file[name]
        put_elsewhere(file, name, other, target, dice)
    return buffer.getvalue()


def put_elsewhere(file: Any, name: str, other: str, target: Any, dice: random.Random) -> None:
    """Something that is not the data itself, in the place of a field."""
    action = dice.randrange(8)
    if action == 0:
        file[name] = h5py.SoftLink(dice.choice(("/" + other, "/" + name, "/", "/nowhere")))
    elif action == 1:
        file[name] = h5py.ExternalLink(dice.choice(("/dev/zero", "other.net", ".")), "/layer")
    elif action == 2:
        file[name] = target  # a second hard link: loops of groups, shared data
    elif action == 3:
        size = dice.choice((8, 1 << 40))
        file.create_dataset(name, (size,), "i1", external=[("/dev/zero", 0, size)])
    elif action == 4:
        layout = h5py.VirtualLayout((60, 3), "i1")
        layout[:] = h5py.VirtualSource(dice.choice(("other.net", ".")), other, (60, 3))
        file.create_virtual_dataset(name, layout)
    elif action == 5:
        file.create_dataset(name, (60, 3), "i1", chunks=(8, 3), compression="gzip", shuffle=True)
    elif action == 6:
        file.create_group(name + "/" + dice.choice(("0", "weight", "x" * 300)))
    else:
        file.create_dataset(name, (1 << 20, 1 << 20), "f8", chunks=(64, 64))


DAMAGES = (damage_fields, damage_bytes, damage_structure, damage_bytes)


def damaged(image: bytes, seed: int) -> bytes:
    """The damaged copy of a seed."""
    return DAMAGES[seed % len(DAMAGES)](image, random.Random(seed))


def main(path: str, first: int, count: int) -> None:
    """Read damaged copies; what reads must also write and read back equal. A line a seed."""
    image = Path(path).read_bytes()
    parse(image, "whole")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for seed in range(first, first + count):
        copy = damaged(image, seed)
        start = time.process_time()
        try:
            model = parse(copy, "x.net")
        except ModelFileError as error:
            said = str(error)
        else:
            said = None
            assert difference(model, parse(serialise(model), "again")) is None
        line = {"seed": seed, "said": said, "seconds": time.process_time() - start}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
