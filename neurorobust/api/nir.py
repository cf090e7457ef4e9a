"""A NIR graph becomes a `.net` file, and what that costs."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurorobust.api.card_fields import changed, known
from neurorobust.api.cards import free
from neurorobust.api.data import scored_data
from neurorobust.api.exports import check_out
from neurorobust.api.networks import read
from neurorobust.assess.imported import accuracies
from neurorobust.classifier import Network
from neurorobust.errors import BadInput
from neurorobust.evaluation import Progress
from neurorobust.models import CARD_FILE, check_card
from neurorobust.netx.model import NetxModel
from neurorobust.netx.read import parse
from neurorobust.netx.write import serialise
from neurorobust.nir import LayerReport, read_graph
from neurorobust.nir import quantise as to_integers
from neurorobust.records import Card, Rate
from neurorobust.support import files

STEPS = 64  # where nothing says for how long a sample runs


@dataclass(frozen=True)
class Imported:
    """What was written.

    Attributes:
        path: the `.net` file.
        model: what it holds.
        layers: what quantising cost, a layer each.
        accuracy: right answers of the float graph (`float`), of the integers (`deployed`), and
            where they agree (`agree`); empty without a data set.
    """

    path: Path
    model: NetxModel
    layers: tuple[LayerReport, ...]
    accuracy: dict[str, Rate] = field(default_factory=dict)


def import_nir(
    graph: Path | str,
    out: Path | str,
    *,
    dt: float = 1e-3,
    card: Card | Path | str | None = None,
    dataset: str | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    limit: int | None = None,
    bin_us: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress | None = None,
    **said: Any,
) -> Imported:
    """Quantise a NIR graph for the chip; with a data set, measure what accuracy that costs.

    Args:
        graph: a .nir file.
        out: the `.net` file to write, its card beside it where one is given.
        dt: time of a step, in the graph's unit.
        card: how the network is fed and read, or the path of that.
        dataset: name of the set it is measured on; needs a card.
        data_dir: where the data sets lie.
        download: fetch a missing set.
        limit: the first so many samples.
        bin_us: event files: width of a step in microseconds.
        seed: of an encoder that draws.
        overwrite: replace the file and its card.
        progress: told (done, total, what).
        said: goes before the card's fields, as in `load`.

    Raises:
        BadInput: the graph holds what no `.net` file can, a layer never spiked on the samples, or
            a data set without a card; nothing was written.
        CardError: a field is missing or has no such value, or the card does not fit.
        OutputError: the file or its card exists already, or cannot be written.
        UnavailableError: the `nir` package is not installed.

    Example:
        >>> try:
        ...     import_nir("a.nir", "a.net", dataset="digits")
        ... except BadInput as error:
        ...     print(error)
        --dataset: needs --card, or --encoder, --steps and --readout
    """
    path, given, described = Path(out), known(said), read(card)
    if given:
        described = changed(described, given)
    if dataset is not None and described is None:
        raise BadInput("--dataset: needs --card, or --encoder, --steps and --readout")
    check_out(path, overwrite)
    if described is not None:
        free(path, overwrite)
    files.probe(path.parent)
    shape, layers = read_graph(Path(graph), dt)
    found = to_integers(shape, layers, STEPS if described is None else described.steps)
    image = serialise(found.model)
    model = parse(image, str(path))
    rates: dict[str, Rate] = {}
    if described is not None:
        described = described.model_copy(update={"sha256": model.sha256})
        check_card(described, model, path)
        network = Network(path.stem, model, described)
        if dataset is not None:
            data = scored_data(
                network, dataset, data_dir=data_dir, download=download, limit=limit, bin_us=bin_us
            )
            rates = accuracies(network, layers, data, seed, progress)
    with ExitStack() as stack:  # all or nothing: the files take their names at the end
        if described is not None:
            temporary = stack.enter_context(files.atomic(path.parent / CARD_FILE))
            temporary.write_text(described.model_dump_json(indent=2) + "\n", "utf-8")
        stack.enter_context(files.atomic(path)).write_bytes(image)
    return Imported(path, model, found.layers, rates)
