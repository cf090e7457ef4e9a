"""What the conformance suite (`hw_tests`) asks of a target: networks, inputs, expected answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from neurorobust import models
from neurorobust.classifier import Network
from neurorobust.errors import BadInput, CardError
from neurorobust.models import catalogue
from neurorobust.netx.model import DenseLayer, NetxModel, Neuron
from neurorobust.records import Card
from neurorobust.support import files
from neurorobust.types import Inputs

Arrays = dict[str, npt.NDArray[np.generic]]
ATTACKED = "adversarial/"
STEPS = 32  # of inputs that nobody chose, where no card says


@dataclass(frozen=True)
class Case:
    """One network to ask a target about.

    Attributes:
        name: for reports.
        model: the network.
        card: how it is fed and read; None where its data say all.
        recorded: arrays of `golden.npz` or of the user's file, empty where there is none. Under
            `adversarial/` the same again for attacked inputs.
    """

    name: str
    model: NetxModel
    card: Card | None
    recorded: Arrays

    def holds(self, *keys: str) -> bool:
        """Whether such arrays were recorded; `label` needs a card too."""
        return all(key in self.recorded for key in keys) and not (
            "label" in keys and self.card is None
        )

    def inputs(self, prefix: str = "") -> Inputs:
        """The recorded inputs under a prefix: drive or spikes."""
        arrays = self.recorded
        if f"{prefix}drive" in arrays:
            drive = torch.from_numpy(arrays[f"{prefix}drive"].astype(np.int32))
            return Inputs.drive(drive, int(arrays[f"{prefix}steps"].item()))
        return Inputs.of(torch.from_numpy(arrays[f"{prefix}input"].astype(np.uint8)))

    def random(self, samples: int, seed: int, steps: int | None = None) -> Inputs:
        """Inputs that nobody chose: as the card encodes noise, or of the recorded inputs' kind."""
        generator = torch.Generator().manual_seed(seed)
        shape = (samples, *self.model.input_shape)
        length = steps or (STEPS if self.card is None else self.card.steps)
        layer = self.model.input_layer
        fed_spikes = "input" in self.recorded or layer is None
        if self.card is not None:
            fed_spikes = not self.card.encoder.code.input_layer
        if fed_spikes or layer is None:
            return Inputs.of(
                (torch.rand((*shape, length), generator=generator) < 0.2).to(torch.uint8)
            )
        if self.card is not None:
            encoder = Network("", self.model, self.card).encoder
            encoded = encoder.encode(torch.rand(shape, generator=generator), generator)
            return Inputs.drive(encoded.values, length) if encoded.driven else encoded
        x = torch.rand(shape, generator=generator, dtype=torch.float64)
        drive = (abs(layer.weight) * x + layer.bias).trunc().clamp(-(1 << 15), (1 << 15) - 1)
        return Inputs.drive(drive.to(torch.int32), length)


def names(given: str | None) -> list[str]:
    """The networks to ask about: the one given, or all that are shipped."""
    if given:
        return [given]
    return [entry.name for entry in catalogue().values() if entry.origin == "shipped"]


def find(name: str, data: str | None = None) -> Case:
    """A network with what was recorded of it.

    Args:
        name: of the catalogue, or the path of a `.net` file.
        data: an npz with inputs and, if wanted, what is expected.

    Raises:
        BadInput: unknown, unreadable, or data without inputs.
        CardError: neither a card nor data.
    """
    if data is not None:
        model, card = models.locate_model(name), None
        try:
            card = models.resolve(name).card
        except CardError:
            card = None
        return Case(name, model, card, _inputs_named(Path(data)))
    network: Network = models.resolve(name)
    golden = Path(network.model.path).parent / "golden.npz"
    recorded = files.read_npz(golden) if golden.is_file() else {}
    return Case(network.name, network.model, network.card, recorded)


def _inputs_named(path: Path) -> Arrays:
    """`run`'s own input files call their spikes `spikes`; here those are answers."""
    arrays = files.read_npz(path, limit=files.foreign_limit(path))
    if set(arrays) == {"spikes"}:
        return {"input": arrays["spikes"]}
    if "input" not in arrays and not {"drive", "steps"} <= set(arrays):
        raise BadInput(f"{path}: holds {sorted(arrays)}, need input, or drive and steps")
    return arrays


def _neuron(threshold: int) -> Neuron:
    return Neuron.of(1024, 256, threshold)


def delayed() -> NetxModel:
    """Delays up to 12 steps and negative biases: what stays in a delay line must not be felt."""
    rng = np.random.default_rng(5)
    return NetxModel(
        (12, 1, 1),
        (
            DenseLayer(
                0,
                (10, 1, 1),
                _neuron(80),
                rng.integers(-20, 50, (10, 12)) * 2,
                -rng.integers(0, 9, 10),
                rng.integers(0, 13, (10, 12)),
            ),
            DenseLayer(
                1,
                (6, 1, 1),
                _neuron(70),
                rng.integers(-20, 50, (6, 10)) * 2,
                delay=rng.integers(0, 7, (6, 10)),
            ),
        ),
    )


def biased() -> NetxModel:
    """Every layer spikes from its bias alone, before data and after."""
    rng = np.random.default_rng(6)
    layers = tuple(
        DenseLayer(
            number,
            (8, 1, 1),
            _neuron(60),
            rng.integers(-30, 40, (8, 8)) * 2,
            rng.integers(5, 50, 8),
        )
        for number in range(3)
    )
    return NetxModel((8, 1, 1), layers)


def relay(layers: int) -> NetxModel:
    """A chain that hands every spike on within its aligned step."""
    relaying = Neuron.of(4096, 4096, 1)
    return NetxModel(
        (1, 1, 1),
        tuple(DenseLayer(n, (1, 1, 1), relaying, np.array([[100]])) for n in range(layers)),
    )
