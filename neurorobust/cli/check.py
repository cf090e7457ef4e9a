"""`neurorobust check`: named rules, will it fit, what it costs."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurorobust.cli import options
from neurorobust.cli.card_options import NO_OPTIONS, CardOptions, takes_card
from neurorobust.cli.output import session
from neurorobust.errors import CheckFailed

if TYPE_CHECKING:
    from rich.console import Console

    from neurorobust.hardware.fit import Fit
    from neurorobust.verify.lint import Verdict

BAR = 6
STYLES = {"error": "bold red", "warning": "yellow"}  # by severity; what has none is plain


@takes_card
def check(
    model: Annotated[str, typer.Argument(help="A .net file or a network's name.")],
    dataset: options.DatasetName = None,
    data_dir: options.DataDir = None,
    limit: options.Limit = None,
    bin_us: options.BinUs = None,
    described: CardOptions = NO_OPTIONS,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Lint a network, estimate whether it fits a chip and, on sample data, what a run costs."""
    with session(as_json) as output:
        from neurorobust import api

        verdict = api.check(
            model,
            described.card,
            dataset=dataset,
            data_dir=data_dir,
            **({} if limit is None else {"limit": limit}),
            bin_us=bin_us,
            seed=seed,
            **described.given(),
        )
        output.result(**as_data(verdict))
        show(verdict, output.console)
        if verdict.errors:
            first = verdict.errors[0]
            where = f"{first.place}: " if first.place else ""
            raise CheckFailed(
                f"{verdict.path}: {len(verdict.errors)} errors, the first: {first.code} {where}"
                f"{first.message}"
            )


def as_data(verdict: Verdict) -> dict[str, Any]:
    """What `check --json` prints."""
    rows = [
        {
            "code": found.code,
            "name": found.rule.name,
            "severity": found.rule.severity,
            "place": found.place,
            "message": found.message,
            "why": found.rule.why,
            "remedy": found.rule.remedy,
        }
        for found in verdict.findings
    ]
    fitted = verdict.fit
    estimate = None if fitted is None else {
        "estimate": True,
        "chip": "Loihi 2",
        "fits": fitted.fits,
        "cores": fitted.cores,
        "margin": round(fitted.margin, 4),
        "layers": [vars(layer) for layer in fitted.layers],
    }  # fmt: skip
    return {
        "path": str(verdict.path),
        "runs": verdict.runs,
        "findings": rows,
        "fit": estimate,
        "operations": [vars(row) for row in verdict.counts],
        "samples": verdict.samples,
        "energy": None if verdict.joules is None else {
            "label": verdict.energy_is,
            "joules_a_sample": verdict.joules,
        },
    }  # fmt: skip


def show(verdict: Verdict, console: Console) -> None:
    """Print a verdict for people."""
    from rich.padding import Padding
    from rich.text import Text

    for code, group in groupby(verdict.findings, key=lambda found: found.code):
        together = list(group)
        rule = together[0].rule
        style = STYLES.get(rule.severity, "")
        console.print(f"{rule.severity} {code} {rule.name}", style=style, markup=False)
        for found in together:
            where = f"{found.place}: " if found.place else ""
            console.print(Padding(Text(f"{where}{found.message}"), (0, 0, 0, 4)))
        console.print(Padding(Text(f"why: {rule.why}\nremedy: {rule.remedy}"), (0, 0, 0, 4)))
    if verdict.fit is not None:
        _show_fit(verdict.fit, console)
    if verdict.counts:
        _show_counts(verdict, console)
    if verdict.findings:
        console.print("NX…: numbers of rules, all of them in docs/rules.md")
    console.print(
        f"{verdict.path}: " + ("runs" if verdict.runs else "does not run as it is")
        + f", {len(verdict.findings)} findings"
    )  # fmt: skip


def _show_fit(fitted: Fit, console: Console) -> None:
    from rich.table import Table

    table = Table(title="Loihi 2, estimate; shares of the fullest core")
    for head in ("layer", "neurons", "cores", "neurons", "memory", "axons", "delay"):
        table.add_column(head, no_wrap=True)
    for layer in fitted.layers:
        use = layer.use()
        table.add_row(
            f"{layer.number} {layer.kind}", str(layer.neurons), str(layer.cores or "none"),
            *(_bar(use[name]) for name in ("neurons", "memory", "axons")), str(layer.delay),
        )  # fmt: skip
    console.print(table)
    console.print(
        f"{fitted.cores} of {fitted.chip_cores} cores, {fitted.margin:.0%} of a chip free: "
        f"{'fits' if fitted.fits else 'does not fit'} (an estimate, not a compiler)"
    )
    console.print("axons: input lines into a core. delay: the longest of the layer, in steps.")


def _show_counts(verdict: Verdict, console: Console) -> None:
    from rich.table import Table

    table = Table("layer", "synaptic operations", "neuron updates", "spikes", "energy",
                  title=f"a sample, mean of {verdict.samples}")  # fmt: skip
    for row in verdict.counts:
        values = (row.synaptic_operations, row.neuron_updates, row.spikes)
        table.add_row(
            str(row.number), *(f"{value / verdict.samples:,.0f}" for value in values),
            f"{1e6 * row.joules / verdict.samples:.2f} µJ",
        )  # fmt: skip
    console.print(table)
    assert verdict.joules is not None
    console.print(f"{1e6 * verdict.joules:.2f} µJ a sample, {verdict.energy_is}")


def _bar(share: float) -> str:
    filled = min(BAR, round(share * BAR))
    return f"{'█' * filled}{'░' * (BAR - filled)} {share:4.0%}"
