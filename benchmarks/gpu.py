"""The engine on a GPU: is it exact there, and how close to the limits of the device?

Exact: spikes, u and v of every layer against the reference, on a network with a convolution, delays
and feedback, and on 784-512-512-10; the same dense network on many samples against the CPU engine.

Fast, each in the same turns as the peak it is held against:

    run         samples a second, inputs and results on the device; beside it the CPU engine
    gradient    samples a second of forward and backward
    product     10^12 operations a second of the int8 products against a large square one
    neurons     bytes that the neurons' kernel has to move a second against a plain copy
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import common
import numpy as np
import torch
from networks import DENSITY, dense_network, spikes

from neurorobust.backends.engine import EngineBackend
from neurorobust.backends.engine.devices import open_device
from neurorobust.backends.reference.backend import ReferenceBackend
from neurorobust.errors import UnavailableError
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
    RecurrentLayer,
)
from neurorobust.surrogates import DEFAULT
from neurorobust.types import Inputs, Run

SIZES = (784, 512, 512, 10)
QUICK_SIZES = (24, 16, 10)


def main(arguments: Sequence[str] | None = None) -> None:
    made = common.parser(__doc__)
    made.add_argument("--batch", type=int, default=None, help="default 8192")
    made.add_argument("--steps", type=int, default=16)
    made.add_argument("--device", default="cuda", help="cuda or cuda:N")
    options = common.begin(made, arguments)
    sizes = QUICK_SIZES if options.quick else SIZES
    batch = options.batch or (64 if options.quick else 8192)
    model, fired = dense_network(sizes, options.steps)
    try:
        engine = open_device(model, options.device)
        mixed = open_device(mixed_network(), options.device)
    except UnavailableError as error:
        raise SystemExit(f"gpu: nothing to measure: {error}") from None
    if engine is None or mixed is None:
        raise SystemExit(f"gpu: --device {options.device} is no GPU")
    result = measure(engine, mixed, model, sizes, batch, options)
    result["network"] |= {"rates": fired}
    common.finish("gpu", options, result)


def measure(
    engine: Any, mixed: Any, model: NetxModel, sizes: Sequence[int], batch: int, options: Any
) -> dict[str, Any]:
    """Everything, on the device of the two engines."""
    device, steps = engine.device, options.steps
    print(engine)
    identical = exactness(engine, mixed, model, steps, 16 if options.quick else 1024)
    common.table(("identical", ""), identical.items())
    inputs = spikes(batch, sizes[0], steps, DENSITY)
    moved = inputs.to(device)
    some, on_cpu = inputs[: max(1, batch // 16)], EngineBackend(model)
    tasks = {
        "run": lambda: engine.run(Inputs.of(moved)),
        "cpu": lambda: on_cpu.run(some),
        "gradient": functools.partial(gradient, engine, moved),
        **parts(engine, moved, steps),
        **peaks(device, options.quick),
    }
    amounts = {
        "run": batch,
        "cpu": len(some),
        "gradient": batch,
        **amount_of_parts(sizes, batch, steps),
        **amount_of_peaks(options.quick),
    }
    seconds = common.turns(
        {name: _synchronised(task, device) for name, task in tasks.items()}, options.turns
    )
    rates = {name: [amounts[name] / one for one in spent] for name, spent in seconds.items()}
    print()
    common.table(
        ("", "a second", "ms"),
        [
            (
                f"{name}, {UNITS[name]}",
                common.Spread.of(values),
                f"{1e3 * common.Spread.of(seconds[name]).median:.3f}",
            )
            for name, values in rates.items()
        ],
    )
    pairs = {"product": "square", "neurons": "copy", "run": "cpu"}
    ratios = {f"{a}_of_{b}": common.quotient(rates[a], rates[b]) for a, b in pairs.items()}
    print()
    common.table(("", "ratio"), ratios.items())
    return {
        "ratios": {name: {"ratio": round(r.median, 4), "spread": r} for name, r in ratios.items()},
        "identical": identical,
        "rates": {name: common.Spread.of(values) for name, values in rates.items()},
        "units": UNITS,
        "device": _name(device),
        "network": {"sizes": sizes, "batch": batch, "steps": steps},
    }


UNITS = {
    "run": "samples",
    "cpu": "samples",
    "gradient": "samples",
    "product": "10^12 operations",
    "square": "10^12 operations",
    "neurons": "GB",
    "copy": "GB",
}


def exactness(engine: Any, mixed: Any, model: NetxModel, steps: int, many: int) -> dict[str, bool]:
    """Whether spikes, u and v of every layer are equal, by case."""
    generator = torch.Generator().manual_seed(0)
    shape = mixed_network().input_shape
    drive = torch.randint(-20, 90, (4, *shape), generator=generator, dtype=torch.int32)
    frames = torch.randint(0, 2, (4, *shape, steps), generator=generator, dtype=torch.uint8)
    few = spikes(4, model.input_shape[0], steps, DENSITY)
    inputs = spikes(many, model.input_shape[0], steps, DENSITY)
    mixed_reference, reference = ReferenceBackend(mixed_network()), ReferenceBackend(model)
    return {
        "mixed network, drive": _equal(mixed, mixed_reference, Inputs.drive(drive, steps)),
        "mixed network, spikes": _equal(mixed, mixed_reference, frames),
        "dense network, 4 samples": _equal(engine, reference, few),
        f"dense network, {many} samples, CPU engine": _equal(engine, EngineBackend(model), inputs),
    }


def mixed_network() -> NetxModel:
    """An input layer, a grouped convolution, delays, odd weights, feedback, an accumulator."""
    generator = np.random.default_rng(0)

    def cell(current: int, voltage: int, threshold: int) -> Neuron:
        return Neuron(np.array(current), np.array(voltage), np.array(threshold))

    kernel = generator.integers(-60, 90, (8, 1, 3, 3))
    weight = generator.integers(-120, 120, (33, 8 * 16))
    layers = (
        InputLayer(0, (2, 8, 8), cell(0, 128, 80)),
        ConvLayer(1, (8, 4, 4), cell(500, 100, 40), kernel, None, (2, 2), (1, 1), groups=2),
        FlattenLayer(2, (128, 1, 1)),
        DenseLayer(
            3,
            (33, 1, 1),
            cell(1024, 200, 90),
            weight,
            generator.integers(-50, 50, 33),
            generator.integers(0, 4, weight.shape),
        ),
        RecurrentLayer(
            4,
            (20, 1, 1),
            cell(900, 300, 80),
            generator.integers(-60, 90, (20, 33)) * 2,
            generator.integers(-90, 90, (20, 20)) * 2,
        ),
        DenseLayer(5, (4, 1, 1), None, generator.integers(-128, 127, (4, 20)) * 2),
    )
    return NetxModel((2, 8, 8), layers)


def gradient(engine: Any, inputs: torch.Tensor) -> None:
    """Of the last layer's spikes and membrane, with respect to the input."""
    values = inputs.float().requires_grad_()
    run: Run = engine.forward(Inputs.of(values), DEFAULT)
    (run.spikes.sum() + run.membrane.sum()).backward()


def parts(engine: Any, inputs: torch.Tensor, steps: int) -> dict[str, Callable[[], object]]:
    """All products alone and all neurons alone, on what the layers really are fed."""
    batch, fed = len(inputs), []
    signal = inputs[:, :, 0, 0].permute(0, 2, 1).to(torch.int8).contiguous()
    for layer in engine.layers:
        fed.append((layer, signal, layer.synapse.sums(signal)))
        signal = layer.fire(signal, steps).spikes
    from neurorobust.backends.engine.gpu.lif import Keep, integrate  # needs triton

    def product() -> None:
        for layer, source, _ in fed:
            layer.synapse.sums(source)

    def neurons() -> None:
        for layer, _, sums in fed:
            integrate(layer.cells, sums, batch, steps, Keep())

    return {"product": product, "neurons": neurons}


def amount_of_parts(sizes: Sequence[int], batch: int, steps: int) -> dict[str, float]:
    """Operations of the products, without padding; bytes of sums, spikes and states."""
    pairs = list(itertools.pairwise(sizes))
    return {
        "product": 2.0 * batch * steps * sum(a * b for a, b in pairs) / 1e12,
        "neurons": batch * (5 * steps + 8) * sum(sizes[1:]) / 1e9,
    }


def peaks(device: torch.device, quick: bool) -> dict[str, Callable[[], object]]:
    """A large square int8 product, and a copy."""
    size, entries = _peak_sizes(quick)
    square = torch.randint(-128, 128, (size, size), dtype=torch.int8, device=device)
    source = torch.zeros(entries, dtype=torch.uint8, device=device)
    into = torch.empty_like(source)
    return {
        "square": lambda: torch._int_mm(square, square.t()),
        "copy": lambda: into.copy_(source),
    }


def amount_of_peaks(quick: bool) -> dict[str, float]:
    """Operations of the square product; bytes read and written by the copy."""
    size, entries = _peak_sizes(quick)
    return {"square": 2.0 * size**3 / 1e12, "copy": 2.0 * entries / 1e9}


def _peak_sizes(quick: bool) -> tuple[int, int]:
    return (256, 1 << 20) if quick else (8192, 1 << 30)


def _equal(engine: Any, other: Any, inputs: Inputs | torch.Tensor) -> bool:
    inputs = Inputs.of(inputs)
    record = [layer.number for layer in other.model.running_layers(inputs.driven)]
    given = Inputs.of(inputs)
    got, wanted = engine.run(given, record), other.run(given, record)
    traces = [(got.layers[n], wanted.layers[n]) for n in record]
    pairs = [(got.spikes, wanted.spikes), (got.membrane, wanted.membrane)]
    pairs += [(getattr(a, v), getattr(b, v)) for a, b in traces for v in ("spikes", "u", "v")]
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def _synchronised(work: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """`common.timed` of work that returns before the device is done."""

    def whole() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return common.timed(whole)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


if __name__ == "__main__":
    main()
