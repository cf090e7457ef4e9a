"""Where networks come from: shipped ones, those in the installed lava-dl wheel, anyone's own file.

A network is a `.net` file and its card. Nothing runs without a card: it is read from beside the
file (`card.json`), from `--card`, or put together from the command line.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurorobust import netx
from neurorobust.errors import BadInput, CardError, UnavailableError
from neurorobust.netx.guarded import read_guarded
from neurorobust.netx.model import NetxModel
from neurorobust.readouts import READOUTS
from neurorobust.records import Card, EncoderCard
from neurorobust.support import files, schema
from neurorobust.support.names import unknown

if TYPE_CHECKING:  # networks are listed and found without torch
    from neurorobust.classifier import Network

CARD_FILE = "card.json"


@dataclass(frozen=True)
class Entry:
    """One network that has a name.

    Attributes:
        path: the `.net` file.
        card: None where `card.json` lies beside the file.
        origin: `shipped` or `lava-dl wheel`.
        summary: one line; empty: what the card beside the file says.
    """

    name: str
    path: Path
    card: Card | None
    origin: str
    summary: str = ""

    @property
    def about(self) -> str:
        """One line.

        Raises:
            CardError: the card beside the file cannot be read.
        """
        if self.summary:
            return self.summary
        card = read_card(self.path.parent / CARD_FILE)
        return card.notes or f"for {card.dataset}"


LAVA_MNIST = Card(
    name="lava-mnist",
    dataset="mnist",
    encoder=EncoderCard(kind="drive", mean=0.5, std=0.5),
    steps=16,
    readout="membrane",
    notes="784-512-512-10 from the lava-dl wheel; x = pixel / 127.5 - 1",
)
WHEEL_NETWORKS = {
    "lava-mnist": ("mnist.net", LAVA_MNIST, "784-512-512-10 MLP on MNIST, drive, 16 steps"),
}
WHEEL_FOLDER = "tests/lava/lib/dl/netx"  # the wheel installs its tests beside its package


def catalogue() -> dict[str, Entry]:
    """Every network with a name that is present here: shipped ones first. No card is read."""
    entries = {}
    for path in sorted(shipped_folder().glob("*/model.net")):
        entries[path.parent.name] = Entry(path.parent.name, path, None, "shipped")
    for name, (file, card, about) in WHEEL_NETWORKS.items():
        wheel = wheel_file(file)
        if wheel is not None:
            entries[name] = Entry(name, wheel, card, "lava-dl wheel", about)
    return entries


def shipped_folder() -> Path:
    """`netx_models`: inside the installed package, or beside it in a checkout."""
    inside = Path(str(importlib.resources.files("neurorobust"))) / "_netx_models"
    return inside if inside.is_dir() else Path(__file__).resolve().parents[1] / "netx_models"


def wheel_file(name: str) -> Path | None:
    """A file of the lava-dl wheel's own test networks, or None where the wheel is not installed."""
    try:
        wheel = importlib.metadata.distribution("lava-dl")
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(wheel.locate_file(f"{WHEEL_FOLDER}/{name}")))
    return path if path.is_file() else None


def resolve(reference: str, card: Card | None = None) -> Network:
    """A name of the catalogue or the path of a `.net` file, with its card.

    Args:
        reference: `lava-mnist`, `digits-mlp`, `path/to/model.net`, ...
        card: what the command line says; it overrides the card beside the file.

    Raises:
        BadInput: neither a known name nor a file.
        CardError: no card, or one that does not fit the network.
        ModelFileError: the file cannot be read.
    """
    from neurorobust.classifier import Network

    path, _, name = locate(reference)
    model = _read(path, reference)
    if card is None:
        card = card_of(reference)
    if card is None:
        raise CardError(no_card(path))
    check_card(card, model, path)
    return Network(name, model, card)


def card_of(reference: str) -> Card | None:
    """The card that a name has, or that lies beside a file; None where there is none.

    Raises:
        BadInput: neither a known name nor a file.
        CardError: it cannot be read.
    """
    path, known, _ = locate(reference)
    beside = path.parent / CARD_FILE
    return read_card(beside) if known is None and beside.is_file() else known


def no_card(path: Path) -> str:
    """What to say of a network without a card."""
    return (
        f"{path}: no card: nothing says how to feed and read this network; `neurorobust card "
        f"{path}` with --encoder, --steps and --readout (for drive also --mean and --std) writes "
        "one, and every command that needs a card takes the same options, or --card FILE"
    )


def locate_model(reference: str) -> NetxModel:
    """The network a name or path stands for, without its card.

    Raises:
        BadInput: neither a known name nor a file.
        ModelFileError: the file cannot be read.
    """
    return _read(locate(reference)[0], reference)


def _read(path: Path, reference: str) -> NetxModel:
    """Files that have no name here are a stranger's, and are read in a process with limits."""
    return netx.read(path) if reference in catalogue() else read_guarded(path)


def locate(reference: str) -> tuple[Path, Card | None, str]:
    """The file that a name or path stands for, its card if it has one of its own, and its name.

    Raises:
        BadInput: neither a known name nor a file.
    """
    entries = catalogue()
    if reference in entries:
        entry = entries[reference]
        return entry.path, entry.card, reference
    path = Path(reference)
    if path.is_dir() and (path / "model.net").is_file():
        path = path / "model.net"
    if path.is_dir() and (path / "training.json").is_file():
        raise BadInput(f"{path}: a training run, not a .net file; `neurorobust export` makes one")
    if path.suffix == ".net" or path.exists():
        return path, None, path.stem
    if reference in WHEEL_NETWORKS:
        raise UnavailableError(
            f"model {reference}: comes with lava-dl, which is not installed; "
            'pip install "lava-dl==0.6.0" on Python 3.10'
        )
    raise BadInput(unknown("file or network", reference, entries))


def read_card(path: Path) -> Card:
    """Read `card.json`.

    Raises:
        CardError: missing, too large, not JSON, or not a card; names the key, its value, the limit.
    """
    return schema.read(path, Card, f"card {path}", CardError)


def write_card(card: Card, path: Path) -> None:
    """Write `card.json` atomically.

    Raises:
        OutputError: it cannot be written.
    """
    files.write_text(path, card.model_dump_json(indent=2) + "\n")


def check_card(card: Card, model: NetxModel, path: Path) -> None:
    """Refuse a card that describes another network.

    Raises:
        CardError: naming what does not fit.
    """
    check_owner(card, model, path)
    if READOUTS[card.readout].spiking and model.output_layer.neuron is None:
        raise CardError(
            f"card of {path}: readout {card.readout}, but the last layer has no neurons and never "
            "spikes; read its membrane"
        )
    wanted = card.encoder.code.input_layer
    if wanted is True and model.input_layer is None:
        raise CardError(f"card of {path}: encoder {card.encoder.kind} needs an on-chip input layer")
    if wanted is False and model.input_layer is not None:
        raise CardError(
            f"card of {path}: encoder {card.encoder.kind}, but the network starts with "
            "an on-chip input layer (drive or direct)"
        )


def check_owner(card: Card, model: NetxModel, path: Path) -> None:
    """Refuse a card that was made for another file.

    Raises:
        CardError: with both digests, and how a card for this file is made of it.
    """
    if card.sha256 is not None and card.sha256 != model.sha256:
        raise CardError(
            f"card of {path}: made for sha256 {card.sha256[:12]}, the file's is "
            f"{model.sha256[:12]}: another network's card, or the network has changed; if it is "
            f"fed and read the same way, `neurorobust card {path} --overwrite` makes the card this "
            "file's (--card FILE starts from a card elsewhere)"
        )
