"""The process that talks to the board: a program for `backends.hosted.guard`.

`lava.worker` with another network; a SIGTERM, or the end of the parent, gives the board back first.
"""

from __future__ import annotations

from typing import Any

from neurorobust.backends.hosted.frames import Frames
from neurorobust.backends.hosted.serving import Served, work
from neurorobust.backends.loihi2.network import Loihi2Network
from neurorobust.backends.loihi2.probe import probe, select

PATIENCE = 20  # seconds for giving a board back


def make_network(arguments: dict[str, Any], driven: bool, frames: Frames) -> Served:
    """A network on the board that the environment asks for."""
    select(probe())
    return Loihi2Network(
        arguments["file"],
        arguments["layers"],
        arguments["input_shape"],
        driven,
        0 if driven else arguments["skip"],
        bool(arguments["options"][0]),
        lambda words: frames.send(("error", words)),
    )


if __name__ == "__main__":
    work(make_network, orderly=True)
