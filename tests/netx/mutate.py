"""Run by test_hostile.py: read files that were damaged at random (seeded), print counts as JSON."""

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


def main(path: str, count: int) -> None:
    """Read `count` damaged copies; what reads must also write and read back equal."""
    image = Path(path).read_bytes()
    parse(image, "whole")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, slowest = 0, 0.0
    refused: list[str] = []
    for seed in range(count):
        dice = random.Random(seed)
        damaged = (damage_bytes if seed % 3 else damage_fields)(image, dice)
        start = time.process_time()
        try:
            model = parse(damaged, "x.net")
        except ModelFileError as error:
            refused.append(str(error))
        else:
            read += 1
            assert difference(model, parse(serialise(model), "again")) is None
        slowest = max(slowest, time.process_time() - start)
    assert all(text.startswith("x.net: ") and "\n" not in text for text in refused)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(
        json.dumps(
            {
                "read": read,
                "refused": len(refused),
                "reasons": len(set(refused)),
                "slowest_s": slowest,
                "grown_mib": grown,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
