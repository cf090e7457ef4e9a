"""`neurorobust models` and `neurorobust info`."""

from __future__ import annotations

from neurorobust.cli import options
from neurorobust.cli.output import session


def models(as_json: options.Json = False) -> None:
    """List the networks that have a name here: shipped ones, and those in the lava-dl wheel."""
    with session(as_json) as output:
        from rich.table import Table

        from neurorobust import api

        table = Table("name", "origin", "network", "input", "about")
        rows = []
        for entry in api.list_networks():
            sizes = "-".join(map(str, entry.sizes))
            shape = "x".join(map(str, entry.input_shape))
            table.add_row(entry.name, entry.origin, sizes, shape, entry.about)
            rows.append(
                {
                    "name": entry.name,
                    "origin": entry.origin,
                    "path": str(entry.path),
                    "sha256": entry.sha256,
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

        from neurorobust import api

        found = api.info()
        output.result(versions=found.versions, machine=found.machine, loihi2=found.loihi2)
        table = Table(show_header=False)
        for name, value in {**found.versions, **found.machine, "loihi2": found.loihi2}.items():
            table.add_row(name, value)
        output.console.print(table)
