"""Which rules of a deployment a network breaks, whether it fits a chip, what a run costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurorobust import models
from neurorobust.api.card_fields import changed, combined, known, lacks
from neurorobust.api.data import scored_data
from neurorobust.api.networks import read
from neurorobust.classifier import Network
from neurorobust.errors import CardError
from neurorobust.records import Card
from neurorobust.verify.lint import Verdict, lint, on_samples

DATA_SAMPLES = 256


def check(
    reference: str | Path,
    card: Card | Path | str | None = None,
    steps: int | None = None,
    *,
    dataset: str | None = None,
    data_dir: Path | None = None,
    limit: int = DATA_SAMPLES,
    bin_us: int | None = None,
    seed: int = 0,
    **said: Any,
) -> Verdict:
    """Which rules of a deployment a network breaks, and whether it fits a chip.

    With `dataset` or `data_dir`, samples also show silent neurons, wraps and operations.

    Args:
        reference: a name, or the path of a `.net` file.
        card: how it is fed and read, or the path of that; None: the one that it has.
        steps: time steps of a sample, also where no card says so.
        dataset: name of a set that it is run on; None: the card's, where `data_dir` is given.
        data_dir: where the data sets lie.
        limit: samples at most.
        bin_us: event files: width of a step in microseconds.
        seed: of a random encoder.
        said: goes before the card's fields, as in `load`.

    Raises:
        BadInput: neither a name nor a file, or no field of a card.
        CardError: a field is missing or has no such value.
        DatasetError: the set cannot be loaded.

    Example:
        >>> found = check("digits-mlp", dataset="digits", limit=8)
        >>> (found.runs, found.samples)
        (True, 8)
    """
    alone = _alone(str(reference), read(card), known({**said, "steps": steps}))
    verdict, used = lint(str(reference), alone, steps)
    if (dataset is None and data_dir is None) or verdict.model is None or used is None:
        return verdict
    network = Network(verdict.path.stem, verdict.model, used)
    data = scored_data(network, dataset, data_dir=data_dir, limit=limit, bin_us=bin_us)
    return on_samples(verdict, network.encoder, data.batch(0, len(data))[0], seed)


def _alone(reference: str, start: Card | None, given: dict[str, Any]) -> Card | None:
    """The card that is said, whether or not it fits the network.

    None where nothing is said, or only the steps and there is no card to change.

    Raises:
        CardError: see `load`.
    """
    if not given:
        return start
    whole = not lacks(combined(None, given))
    if start is None:
        try:
            start = models.card_of(reference)
        except CardError:
            if not whole and given.keys() != {"steps"}:
                raise
    if start is None and given.keys() == {"steps"}:
        return None
    card = changed(start, given)
    return card.model_copy(update={"sha256": None}) if whole else card
