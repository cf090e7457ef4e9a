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
DATA_SAMPLES = 256


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
        from neurorobust.classifier import Network
        from neurorobust.netx.rules import ERROR
        from neurorobust.verify.lint import lint, on_samples

        verdict, used = lint(model, described.alone(model), described.steps)
        if (dataset or data_dir) and verdict.model is not None and used is not None:
            network = Network(verdict.path.stem, verdict.model, used)
            data = options.load(network, dataset, data_dir, False, limit or DATA_SAMPLES, bin_us)
            x, _ = data.batch(0, len(data))
            verdict = on_samples(verdict, network.encoder, x, seed)
        output.result(**as_data(verdict))
        show(verdict, output.console)
        errors = [found for found in verdict.findings if found.rule.severity == ERROR]
        if errors:
            first = errors[0]
            where = f"{first.place}: " if first.place else ""
            raise CheckFailed(
                f"{verdict.path}: {len(errors)} errors, the first: {first.code} {where}"
                f"{first.message}"
            )


def as_data(verdict: Verdict) -> dict[str, Any]:
    """What `check --json` prints."""
    from neurorobust.hardware.energy import LABEL

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
        "energy": None if not verdict.counts else {
            "label": LABEL,
            "joules_a_sample": sum(row.joules for row in verdict.counts) / verdict.samples,
        },
    }  # fmt: skip


def show(verdict: Verdict, console: Console) -> None:
    """Print a verdict for people."""
    from rich.padding import Padding
    from rich.text import Text

    from neurorobust.netx.rules import ERROR, RULES, WARNING

    styles = {ERROR: "bold red", WARNING: "yellow"}
    for code, group in groupby(verdict.findings, key=lambda found: found.code):
        rule = RULES[code]
        style = styles.get(rule.severity, "")
        console.print(f"{rule.severity} {code} {rule.name}", style=style, markup=False)
        for found in group:
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

    from neurorobust.hardware.limits import LOIHI2

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
    cores = LOIHI2["cores"].value
    console.print(
        f"{fitted.cores} of {cores:.0f} cores, {fitted.margin:.0%} of a chip free: "
        f"{'fits' if fitted.fits else 'does not fit'} (an estimate, not a compiler)"
    )
    console.print("axons: input lines into a core. delay: the longest of the layer, in steps.")


def _show_counts(verdict: Verdict, console: Console) -> None:
    from rich.table import Table

    from neurorobust.hardware.energy import LABEL

    table = Table("layer", "synaptic operations", "neuron updates", "spikes", "energy",
                  title=f"a sample, mean of {verdict.samples}")  # fmt: skip
    for row in verdict.counts:
        values = (row.synaptic_operations, row.neuron_updates, row.spikes)
        table.add_row(
            str(row.number), *(f"{value / verdict.samples:,.0f}" for value in values),
            f"{1e6 * row.joules / verdict.samples:.2f} µJ",
        )  # fmt: skip
    console.print(table)
    total = sum(row.joules for row in verdict.counts) / verdict.samples
    console.print(f"{1e6 * total:.2f} µJ a sample, {LABEL}")


def _bar(share: float) -> str:
    filled = min(BAR, round(share * BAR))
    return f"{'█' * filled}{'░' * (BAR - filled)} {share:4.0%}"
