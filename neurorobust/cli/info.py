"""`neurorobust models` and `neurorobust info`."""

from __future__ import annotations

import math

from neurorobust.cli import options
from neurorobust.cli.output import session


def models(as_json: options.Json = False) -> None:
    """List the networks that have a name here: shipped ones, and those in the lava-dl wheel."""
    with session(as_json) as output:
        from rich.table import Table

        from neurorobust import netx
        from neurorobust.models import catalogue

        table = Table("name", "origin", "network", "input", "about")
        rows = []
        for entry in catalogue().values():
            model = netx.read(entry.path)
            sizes = "-".join(str(math.prod(layer.shape)) for layer in model.spiking_layers)
            shape = "x".join(str(size) for size in model.input_shape)
            table.add_row(entry.name, entry.origin, sizes, shape, entry.about)
            rows.append(
                {
                    "name": entry.name,
                    "origin": entry.origin,
                    "path": str(entry.path),
                    "sha256": model.sha256,
                    "about": entry.about,
                }
            )
        output.result(models=rows)
        output.console.print(table)
        output.console.print(
            "drive: each pixel is a constant bias of an on-chip input neuron. `neurorobust card "
            "NAME` says how a network is fed and read.",
            soft_wrap=True,
        )


def info(as_json: options.Json = False) -> None:
    """Versions, machine, and whether a Loihi 2 board can be asked for."""
    with session(as_json) as output:
        from rich.table import Table

        from neurorobust.backends.loihi2.probe import verdict
        from neurorobust.provenance import machine, versions

        found = verdict()
        output.result(versions=versions(), machine=machine(), loihi2=found)
        table = Table(show_header=False)
        for name, value in {**versions(), **machine(), "loihi2": found}.items():
            table.add_row(name, value)
        output.console.print(table)
