"""Run by test_fuzz.py: graphs that were damaged at random (seeded), a line of JSON each."""

from __future__ import annotations

import json
import resource
import runpy
import sys
import time
from pathlib import Path

from neurorobust.errors import ModelFileError
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise
from neurorobust.nir.graph import walk
from neurorobust.nir.guarded import MEMORY
from neurorobust.nir.load import load_graph
from neurorobust.nir.quantise import quantise
from neurorobust.nir.transfer import pack, unpack

damaged = runpy.run_path(str(Path(__file__).parents[1] / "netx" / "mutate.py"))["damaged"]


def main(path: str, first: int, count: int) -> None:
    """Read damaged copies as the child does, then quantise and write as its parent does."""
    image = Path(path).read_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for seed in range(first, first + count):
        copy, start, foreign = damaged(image, seed), time.process_time(), False
        said = None
        try:
            answer = pack(*walk(load_graph(copy, "x.nir"), "x.nir", 1e-3))
        except ModelFileError as error:
            said = str(error)
        except (Exception, MemoryError) as error:  # the child's last resort
            said, foreign = f"x.nir: {type(error).__name__}: {error}", True
        else:
            try:
                model = quantise(*unpack(answer), 16).model
                parse(serialise(model), "again")
            except ModelFileError as error:
                said = str(error)
        seconds = time.process_time() - start
        print(json.dumps({"said": said, "foreign": foreign, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
