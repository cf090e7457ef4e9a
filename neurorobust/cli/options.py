"""Options that several commands share, defined once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurorobust.backends.registry import backend_names
from neurorobust.cli.usage import one_of
from neurorobust.encoders import ENCODERS
from neurorobust.readouts import READOUTS
from neurorobust.support.names import either

# names that options take, written out: what registers them loads torch (held by a test)
NETWORKS = ("mlp", "cnn", "recurrent", "delayed")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.", min=0, max=2**63 - 1)]
Backend = Annotated[
    str,
    typer.Option(
        help=f"Target: {either(backend_names())}, or your own as module:factory.",
        callback=one_of("--backend", backend_names(), own=True),
    ),
]
Device = Annotated[str, typer.Option(help="Where torch computes: cpu or cuda.")]
MemoryLimit = Annotated[
    int | None, typer.Option(help="MiB the engine may use beside inputs and answers.", min=1)
]
Timeout = Annotated[
    float | None, typer.Option(help="Seconds one batch in Lava or on a board may take.")
]
Workers = Annotated[
    int | None, typer.Option(help="Copies of the network that Lava runs side by side.", min=1)
]
WorkerMemory = Annotated[
    int | None, typer.Option(help="MiB each of Lava's processes may allocate.", min=1)
]
Sparse = Annotated[
    bool, typer.Option("--sparse", help="In Lava: dense layers as sparse processes.")
]
Out = Annotated[Path | None, typer.Option(help="Directory for record.json, samples.npz, report.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what an earlier run left.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")]

DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="digits, mnist, fashion-mnist, cifar10, nmnist-small, npz:FILE, module:factory.",
    ),
]
DataDir = Annotated[Path | None, typer.Option(help="Where the data sets lie (torchvision layout).")]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch a missing set through torchvision.")
]
BinUs = Annotated[int | None, typer.Option(help="Event files: width of a step in µs.", min=1)]
NoControl = Annotated[
    bool, typer.Option("--no-control", help="Run no blind noise of the same size beside attacks.")
]
Limit = Annotated[int | None, typer.Option(help="The first N samples, in the set's order.", min=1)]

CardFile = Annotated[Path | None, typer.Option("--card", help="card.json elsewhere.")]
Encoder = Annotated[
    str | None,
    typer.Option(help=f"{either(ENCODERS)}.", callback=one_of("--encoder", ENCODERS)),
]
Steps = Annotated[int | None, typer.Option(help="Time steps.")]
Mean = Annotated[float | None, typer.Option(help="Drive: x = (pixel - mean) / std.")]
Std = Annotated[float | None, typer.Option(help="Drive: x = (pixel - mean) / std.")]
Gain = Annotated[float | None, typer.Option(help="Poisson: spike probability = gain * pixel.")]
Readout = Annotated[
    str | None,
    typer.Option(help=f"{either(READOUTS)}.", callback=one_of("--readout", READOUTS)),
]
LogitScale = Annotated[
    float | None, typer.Option(help="What the readout's integers are divided by.")
]


def names(text: str) -> tuple[str, ...]:
    """What stands between the commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
