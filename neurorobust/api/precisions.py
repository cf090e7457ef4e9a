"""One network at several precisions, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neurorobust.api.evaluation import Typed, typed_by_kind
from neurorobust.assess.assess import float_classifier
from neurorobust.assess.precision import Row, sweep
from neurorobust.backends.registry import Settings
from neurorobust.classifier import Network
from neurorobust.datasets import Dataset
from neurorobust.evaluation import Progress, Request
from neurorobust.fixedpoint import DECAY_BITS
from neurorobust.netx.quantise import MOST_BITS, Precision


def quantise(
    network: Network,
    data: Dataset,
    out: Path | str,
    *,
    weight_bits: Sequence[int] = (MOST_BITS,),
    decay_bits: Sequence[int] = (DECAY_BITS,),
    threshold_scale: Sequence[float] = (1.0,),
    scale: str = "search",
    against: Path | None = None,
    attacks: Sequence[str] = (),
    seed: int = 0,
    settings: Settings | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **budgets: Typed,
) -> tuple[Row, ...]:
    """Make a family of precisions, one of each combination, and measure every one.

    Args:
        network: what is made coarser.
        data: what all are asked.
        out: directory of the family: `<out>/w6/model.net`, its card and its record.
        weight_bits: 8 to 1.
        decay_bits: 12 to 1.
        threshold_scale: factors on every threshold.
        scale: `search`: the best scale a layer; `fixed`: strike off bits.
        against: a training run: label changes count against its floats; None: against `network`.
        attacks: names; none: clean accuracy only.
        seed: of everything random.
        settings: how the engine runs.
        resume: go on with records that a run with the same settings began.
        overwrite: replace records that are there.
        progress: told (done, total, what).
        budgets: by kind, as in `evaluate`.

    Returns:
        a row a precision: rates, label changes, spikes that differ; or why it cannot be made.

    Raises:
        BadInput: a precision that does not exist or is given twice; see `evaluate`.
        OutputError: a file is there already, and neither `resume` nor `overwrite` was given.

    Example:
        >>> from tempfile import mkdtemp
        >>> network = load("digits-mlp")
        >>> rows = quantise(network, scored_data(network, limit=10), mkdtemp(), weight_bits=[8, 4])
        >>> [row.clean.total for row in rows]
        [10, 10]
    """
    precisions = [
        Precision(bits, decay, factor, scale)
        for bits in weight_bits
        for decay in decay_bits
        for factor in threshold_scale
    ]
    request = Request(attacks, typed_by_kind(budgets), seed)
    reference = None if against is None else float_classifier(against, network)
    return sweep(
        network,
        data,
        precisions,
        request,
        Path(out),
        reference,
        settings or Settings(),
        resume,
        overwrite,
        progress,
    )
