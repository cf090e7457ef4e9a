"""Two forms of a network: the same integers everywhere, or the first place where they differ."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from neurorobust import models
from neurorobust.assess.alignment import alignment, trained_clock
from neurorobust.backends.base import ALIGNED, GLOBAL, Backend
from neurorobust.backends.parity import parity as compare_backends
from neurorobust.backends.registry import Settings, open_backend
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets import Dataset
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.netx.model import NetxModel
from neurorobust.records import Alignment, ParityResult
from neurorobust.types import Inputs

VARIABLES = ("spikes", "u", "v")
RANDOM = "random"


@dataclass(frozen=True)
class Compared:
    """What a comparison of two forms came to.

    Attributes:
        result: identical, or the first difference by layer, sample, neuron and step.
        inputs: name of the data set, or `random`.
        alignment: what aligned resets change, where the first form was trained on the global
            clock; None: it was not.
        exact: the first form's export computes the same integers; a folded batch norm does not.
        unshifted: it was trained with delay_shift, and compared without: Lava's backend resets
            every sample.
    """

    result: ParityResult
    inputs: str
    alignment: Alignment | None = None
    exact: bool = True
    unshifted: bool = False


def parity(
    first: Classifier, second: Classifier, x: Tensor, *, seed: int = 0, layers: bool = True
) -> ParityResult:
    """The same inputs on two backends: identical, or the first layer, sample, neuron and step.

    Args:
        first: an open network; its encoder makes the inputs.
        second: the same network on another backend.
        x: what the encoder takes.
        seed: of an encoder that draws.
        layers: compare u and v of every layer too; else spikes alone.

    Raises:
        BadInput: no sample, or networks of different layers.
        BackendError: a backend failed.

    Example:
        >>> network = load("digits-mlp")
        >>> x, _ = scored_data(network)[:2]
        >>> with network.open("reference") as first, network.open("engine") as second:
        ...     parity(first, second, x).identical
        True
    """
    inputs = first.encoder.encode(x, torch.Generator().manual_seed(seed))
    variables = ("spikes", "u", "v") if layers else ("spikes",)
    return compare_backends(first.backend, second.backend, inputs, variables=variables)


def parity_of(
    first: str | Path | BlockNetwork,
    deployed: Network | str | Path,
    data: Dataset | None = None,
    *,
    limit: int = 16,
    backend: str = "engine",
    settings: Settings | None = None,
    seed: int = 0,
) -> Compared:
    """A training network, or a file on the reference, against a deployed network on a backend.

    A network that was trained with delay_shift and has biases is compared on the global clock.

    Args:
        first: a training run (SLAYER's own quantised forward), a network of lava-dl's blocks
            (likewise), or a name or `.net` file (on the reference).
        deployed: a network; or its name or file, where no card is needed.
        data: its first `limit` samples are the inputs; None: random inputs, which need no card.
        limit: samples that are compared.
        backend: name of the one that the deployed network runs on.
        settings: how that runs.
        seed: of random inputs, or of an encoder that draws.

    Raises:
        BadInput: neither a run, a name nor a file; no sample; or networks of different layers.
        BackendError: a backend failed.

    Example:
        >>> parity_of("digits-mlp", "digits-mlp", limit=2).result.identical
        True
    """
    if data is not None and not isinstance(deployed, Network):
        raise TypeError("parity_of: data need a Network, which says how they are encoded")
    model = deployed.model if isinstance(deployed, Network) else models.locate_model(str(deployed))
    cost: Alignment | None = None
    with (
        _opened(first) as left,
        open_backend(backend, model, settings or Settings()) as right,
    ):
        clock = trained_clock(left)
        unshifted = clock == GLOBAL and backend == "lava"
        clock = ALIGNED if unshifted else clock
        generator = torch.Generator().manual_seed(seed)
        if data is None:
            inputs = _random(model, limit, generator)
        else:
            assert isinstance(deployed, Network)
            inputs = deployed.encoder.encode(data.batch(0, limit)[0], generator)
            if clock == GLOBAL:
                cost = alignment(deployed.classifier(right), data, seed)
        variables = getattr(left, "variables", VARIABLES)
        result = compare_backends(left, right, inputs, variables=variables, clock=clock)
    exported = getattr(left, "exported", None)
    exact = exported is None or exported.exact
    return Compared(result, RANDOM if data is None else data.name, cost, exact, unshifted)


def _opened(first: str | Path | BlockNetwork) -> AbstractContextManager[Backend]:
    """The first form, ready to run."""
    if isinstance(first, (str, Path)):
        if Path(first).suffix == ".net" or not Path(first).is_dir():
            return open_backend("reference", models.locate_model(str(first)))
        from neurorobust.training import load_run

        first = load_run(Path(first))[0]
    from neurorobust.backends.slayer.backend import SlayerBackend

    return nullcontext(SlayerBackend(first, precision="quantised"))


def _random(model: NetxModel, samples: int, generator: torch.Generator, steps: int = 32) -> Inputs:
    """Uniform drive of the input layer's own scale, or spikes with probability 0.2."""
    shape = (samples, *model.input_shape)
    layer = model.input_layer
    if layer is not None:
        x = torch.rand(shape, generator=generator, dtype=torch.float64)
        drive = (abs(layer.weight) * x + layer.bias).trunc()
        return Inputs.drive(drive.clamp(-(1 << 15), (1 << 15) - 1).to(torch.int32), steps)
    return Inputs.of((torch.rand((*shape, steps), generator=generator) < 0.2).to(torch.uint8))
