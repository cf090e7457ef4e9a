"""How much faster than Lava is the engine on Lava's own networks, and is it the same?

Networks: mnist.net (T = 16, 64), tiny.net and the PilotNet LIF network (T = 16) of the installed
lava-dl wheel. Both sides get the same samples, in turns. A ratio is the engine's samples a second
over those of the *fastest* way Lava's runtime offers (see `lava_patterns`); Lava's process models
in one process and nengo-loihi's emulator are reported beside it. `identical` says that the spikes
and the membrane of the timed engine run equal Lava's, bit for bit, on every sample Lava ran.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
import numpy.typing as npt
import torch
from lava_patterns import Dense, Job, Worker, workers

from neurorobust import datasets, netx
from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.lava.backend import LavaBackend
from neurorobust.models import wheel_file
from neurorobust.netx.model import DenseLayer, NetxModel
from neurorobust.types import Inputs, Run

RUNTIME = ("long", "backend", "one-by-one")  # in the runtime: the ratio is against its fastest
BATCHES = (1, 32, 256, 1024)


@dataclass(frozen=True)
class Case:
    """A network and its number of steps; `samples` of them are run in Lava each turn."""

    name: str
    file: str
    steps: int
    samples: int
    one_by_one: bool = True

    @property
    def key(self) -> str:
        """As in `ratios`."""
        return f"{self.name}_T{self.steps}"


CASES = (
    Case("mnist", "mnist.net", 16, 32),
    Case("mnist", "mnist.net", 64, 16),
    Case("tiny", "tiny.net", 16, 16),
    Case("pilotnet", "gts/pilotnet_lif/network.net", 16, 2, one_by_one=False),
)


def main(arguments: Sequence[str] | None = None) -> None:
    made = common.parser(__doc__)
    made.add_argument(
        "--data-dir",
        type=Path,
        default=os.environ.get("NEUROROBUST_DATA"),
        help="torchvision's MNIST (default $NEUROROBUST_DATA); without it, scikit-learn's digits",
    )
    made.add_argument("--cases", nargs="*", default=None, help="keys such as mnist_T16")
    options = common.begin(made, arguments)
    if options.turns == 7 and not options.quick:
        options.turns = 5
    chosen = [case for case in CASES if options.cases is None or case.key in options.cases]
    if options.quick and options.cases is None:
        chosen = [case for case in chosen if case.key in ("mnist_T16", "tiny_T16")]
    ratios: dict[str, Any] = {}
    lava: dict[str, Any] = {}
    for case in chosen:
        measured = measure(case, options)
        ratios |= measured["ratios"]
        lava[case.key] = {key: value for key, value in measured.items() if key != "ratios"}
        show(case, measured)
    common.finish("engine_vs_lava", options, {"ratios": ratios, "lava": lava})
    if not all(entry["identical"] for entry in ratios.values()):
        raise SystemExit("engine_vs_lava: the engine's outputs differ from Lava's")


def measure(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """All batches of the engine and all ways of Lava, in turns."""
    found = wheel_file(case.file)
    if found is None:
        raise SystemExit("engine_vs_lava: needs lava-dl, whose wheel holds the networks")
    model = netx.read(found)
    batches = (1, 32) if options.quick else BATCHES
    samples = min(case.samples, 4) if options.quick else case.samples
    drive, source = drives(case, model, max(*batches, samples), options.data_dir)
    engine = EngineBackend(model)
    first = model.spiking_layers[0].number
    entered = (
        engine.run(Inputs.drive(drive[:samples], case.steps), record=[first]).layers[first].spikes
    )
    entered = entered.view(samples, *model.input_shape, case.steps)
    job = Job(found, drive[:samples].numpy(), entered.numpy(), dense_layers(model))
    results: dict[int, Run] = {}
    patterns = ["long", "models"]
    if case.one_by_one and not options.quick:
        patterns.append("one-by-one")
    if case.name == "mnist" and importlib.util.find_spec("nengo_loihi"):
        patterns.append("nengo")

    def engine_run(batch: int) -> None:
        results[batch] = engine.run(Inputs.drive(drive[:batch], case.steps))

    with LavaBackend(model) as backend, workers(patterns, job) as started:
        lava_run: list[Run] = []
        tasks: dict[str, Callable[[], float]] = {
            f"engine {batch}": common.timed(functools.partial(engine_run, batch))
            for batch in batches
        }
        for name, worker in started.items():
            tasks[name] = worker.turn
        tasks["backend"] = lambda: _backend_turn(backend, drive[:samples], case.steps, lava_run)
        seconds = common.turns(tasks, options.turns)
        same = {name: _same(worker, lava_run[-1]) for name, worker in started.items()}
    rates = {name: [samples / s for s in values] for name, values in seconds.items()}
    for batch in batches:
        rates[f"engine {batch}"] = [batch / s for s in seconds[f"engine {batch}"]]
    fastest = max(
        (name for name in RUNTIME if name in rates),
        key=lambda name: common.Spread.of(rates[name]).median,
    )
    ratios = {}
    for batch in batches:
        ratio = common.quotient(rates[f"engine {batch}"], rates[fastest])
        compared = min(batch, samples)
        ratios[f"{case.key}_b{batch}"] = {
            "ratio": round(ratio.median, 1),
            "spread": ratio,
            "identical": _equal(results[batch], lava_run[-1], compared),
            "compared_samples": compared,
            "engine_samples_per_second": common.Spread.of(rates[f"engine {batch}"]),
            "lava_samples_per_second": common.Spread.of(rates[fastest]),
            "against": fastest,
        }
    return {
        "ratios": ratios,
        "samples_per_second": {name: common.Spread.of(values) for name, values in rates.items()},
        "same_as_backend": {name: verdict for name, verdict in same.items() if verdict is not None},
        "fastest": fastest,
        "input": source,
        "lava_samples_a_turn": samples,
        "output_spikes_compared": int(lava_run[-1].spikes.sum()),
        "nonzero_membranes_compared": int(lava_run[-1].membrane.count_nonzero()),
    }


def _backend_turn(backend: LavaBackend, drive: torch.Tensor, steps: int, kept: list[Run]) -> float:
    begun = time.perf_counter()
    kept[:] = [backend.run(Inputs.drive(drive, steps))]
    return time.perf_counter() - begun


def _equal(mine: Run, lava: Run, count: int) -> bool:
    return torch.equal(mine.spikes[:count], lava.spikes[:count]) and torch.equal(
        mine.membrane[:count], lava.membrane[:count]
    )


def dense_layers(model: NetxModel) -> tuple[Dense, ...]:
    """For nengo-loihi; its neurons get the decay and threshold of the input layer's."""
    assert model.input_layer is not None
    neuron = model.input_layer.neuron
    assert neuron is not None
    decay, threshold = int(neuron.voltage_decay.flat[0]), int(neuron.threshold.flat[0])
    return tuple(
        Dense(layer.weight, decay, threshold)
        for layer in model.spiking_layers
        if isinstance(layer, DenseLayer)
    )


def _same(worker: Worker, lava: Run) -> bool | None:
    """Whether a pattern computed what the Lava backend did; None where it shows nothing."""
    verdicts = [
        np.array_equal(values, wanted.numpy())
        for values, wanted in zip(worker.results(), (lava.spikes, lava.membrane), strict=True)
        if values is not None and wanted.any()
    ]
    return all(verdicts) if verdicts else None


def drives(
    case: Case, model: NetxModel, count: int, data_dir: Path | None
) -> tuple[torch.Tensor, str]:
    """Int32 `[count, C, H, W]` and what it is made of."""
    if case.name == "mnist":
        pixels, source = _digits(count, data_dir)
        values = np.trunc(76 * (pixels / 127.5 - 1) + 64).reshape(-1, *model.input_shape)
    else:
        folder = "tinynet/input_bias.npy" if case.name == "tiny" else "pilotnet_lif/image.npy"
        file = wheel_file(f"gts/{folder}")
        assert file is not None
        picture = np.load(file).transpose(2, 1, 0)
        values = np.stack([_moved(picture, index) for index in range(min(count, 64))])
        source = f"the wheel's {folder}, moved around and mirrored"
    tiled = np.resize(values.astype(np.int32), (count, *model.input_shape))
    return torch.from_numpy(tiled), source


def _moved(picture: npt.NDArray[Any], index: int) -> npt.NDArray[Any]:
    """The picture itself first, then rolled by multiples of 3 rows and 5 columns, half mirrored."""
    rolled = np.roll(picture, (3 * index, 5 * index), axis=(1, 2))
    return rolled[..., ::-1] if index % 2 else rolled


def _digits(count: int, data_dir: Path | None) -> tuple[npt.NDArray[Any], str]:
    """Grey values 0 to 255, `[count, 784]`."""
    if data_dir is not None:
        images = datasets.load("mnist", "test", Path(data_dir), limit=count).x
        return images.numpy().reshape(count, -1), "MNIST, test set"
    from sklearn.datasets import load_digits

    small = load_digits().images[:count] / 16 * 255
    large = np.pad(np.kron(small, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    return np.rint(large.reshape(count, -1)), "scikit-learn's digits, enlarged (no --data-dir)"


def show(case: Case, measured: dict[str, Any]) -> None:
    """Print a case."""
    print(f"\n{case.key}: {measured['input']}; Lava's fastest: {measured['fastest']}")
    rows = [
        (
            name,
            rate,
            measured["ratios"][key]["spread"] if key in measured["ratios"] else "-",
            measured["ratios"][key]["identical"]
            if key in measured["ratios"]
            else measured["same_as_backend"].get(name, "-"),
        )
        for name, rate in measured["samples_per_second"].items()
        for key in [f"{case.key}_b{name.removeprefix('engine ')}"]
    ]
    common.table(("", "samples/s", "times Lava", "identical"), rows)


if __name__ == "__main__":
    main()
