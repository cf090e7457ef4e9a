"""A sweep over precisions: what each costs in accuracy, robustness and spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from neurorobust import netx
from neurorobust.backends.base import Backend
from neurorobust.backends.registry import Settings, open_backend
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput, ModelFileError, OutputError
from neurorobust.evaluation import Progress, Request, evaluate, load_samples
from neurorobust.evaluation.seeds import fork
from neurorobust.models import CARD_FILE, write_card
from neurorobust.netx.model import NetxModel
from neurorobust.netx.quantise import Precision, quantise
from neurorobust.rates import Rate, RobustRate
from neurorobust.types import Drive, Labels

MODEL_FILE = "model.net"
BATCH = 64
DEFAULT = Settings()
TRACED = 128  # samples whose spikes are compared, layer by layer


@dataclass(frozen=True)
class LayerMismatch:
    """One layer's spikes against those of the network that was given, on the same inputs.

    Attributes:
        differing: share of (sample, neuron, step) with another spike.
        rate: mean spikes a step and neuron; `change`: that minus the given network's.
    """

    number: int
    differing: float
    rate: float
    change: float


@dataclass(frozen=True)
class Row:
    """One precision.

    Attributes:
        refused: why it cannot be made; nothing else is known then.
        robust: as in its record.
        label_changes: labels other than the reference's (the float network, where there is one).
    """

    precision: Precision
    path: str = ""
    sha256: str = ""
    refused: str = ""
    clean: Rate | None = None
    robust: dict[str, dict[str, RobustRate]] | None = None
    label_changes: int | None = None
    layers: tuple[LayerMismatch, ...] = ()


def sweep(
    network: Network,
    data: Dataset,
    precisions: Sequence[Precision],
    request: Request,
    out: Path,
    reference: Classifier | None = None,
    settings: Settings = DEFAULT,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Row, ...]:
    """Make and measure a family of precisions; each lies in `out/<name>` with card and record.

    Args:
        network: what is made coarser.
        data: what all are asked.
        precisions: the family.
        request: what is asked of each.
        out: where the family is written.
        reference: whose labels count as unchanged; by default the network itself.
        settings: how the engine runs.
        resume: go on with records that a run with the same settings began.
        overwrite: replace records that are there.
        progress: told (done, total, what).

    Raises:
        BadInput: two precisions of one name; see `evaluation.evaluate`.
        OutputError: a file is there already, and neither `resume` nor `overwrite` was given.
    """
    names = [precision.name for precision in precisions]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise BadInput(f"precision {name}: given twice")
    for name in names:
        for file in (MODEL_FILE, CARD_FILE):
            if (out / name / file).exists() and not (resume or overwrite):
                raise OutputError(f"{out / name / file}: exists already; --resume or --overwrite")
    with open_backend("engine", network.model, settings) as given:
        plain = network.classifier(given)
        wanted = labels(reference or plain, data, request.seed)
        rows = []
        for precision in precisions:
            try:
                model = quantise(network.model, precision)
            except ModelFileError as error:
                rows.append(Row(precision, refused=str(error)))
                continue
            folder = out / precision.name
            written = netx.write(model, folder / MODEL_FILE)
            notes = f"{network.name} at precision {precision.name}, quantised after training"
            changes = {"sha256": written.sha256, "accuracy": {}, "notes": notes}
            card = network.card.model_copy(update=changes)
            write_card(card, folder / CARD_FILE)
            coarse = Network(f"{network.name} {precision.name}", written, card)
            with open_backend("engine", written, settings) as backend:
                record = evaluate(
                    coarse.classifier(backend),
                    data,
                    request,
                    card=card,
                    model=coarse.name,
                    out=folder / "record",
                    resume=resume,
                    overwrite=overwrite,
                    progress=progress,
                )
                layers = mismatches(plain, backend, data, request.seed)
            found = torch.from_numpy(load_samples(folder / "record")["predicted/clean"])
            rows.append(
                Row(
                    precision,
                    str(folder / MODEL_FILE),
                    written.sha256,
                    clean=record.clean,
                    robust=record.robust,
                    label_changes=int((found != wanted).sum()),
                    layers=layers,
                )
            )
    return tuple(rows)


def labels(asked: Classifier, data: Dataset, seed: int) -> Labels:
    """What a classifier says to all data; random encoders draw the same for every classifier."""
    parts = []
    for number, start in enumerate(range(0, len(data), BATCH)):
        x, _ = data.batch(start, min(start + BATCH, len(data)))
        parts.append(asked.predict(x, fork(seed, number, "clean")))
    return torch.cat(parts)


def mismatches(
    plain: Classifier, coarse: Backend, data: Dataset, seed: int
) -> tuple[LayerMismatch, ...]:
    """Both networks on the same encoded samples."""
    x, _ = data.batch(0, min(TRACED, len(data)))
    inputs = plain.encoder.encode(x, fork(seed, 0, "clean"))
    model: NetxModel = plain.backend.model
    numbers = [layer.number for layer in model.spiking_layers]
    if not isinstance(inputs, Drive) and model.input_layer is not None:
        numbers = numbers[1:]
    one, other = (backend.run(inputs, record=numbers).layers for backend in (plain.backend, coarse))
    rows = []
    for number in numbers:
        first, second = one[number].spikes, other[number].spikes
        rate = float(second.float().mean())
        rows.append(
            LayerMismatch(
                number,
                float((first != second).float().mean()),
                rate,
                rate - float(first.float().mean()),
            )
        )
    return tuple(rows)
