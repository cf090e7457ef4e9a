"""How close to the machine's matrix products is the engine, path by path?

The whole network (784-512-512-10, T = 16, neurons included) runs in one path at a time and its
multiply-adds are counted as if every input spiked. Beside it, in the same turns, the bare products
of the same shapes in the engine's own blocks, and of a large square:

    sgemm       torch.mm in float32 (MKL here)
    onednn      oneDNN's float32 product: on some CPUs 2 to 3 times as fast as MKL's
    int8        oneDNN's uint8 x int8 -> int32 -> float32, VNNI where the CPU has it

`float32_of_sgemm` and `int8_of_sgemm` are against torch.mm of the same shapes; what is against the
other peaks says so in its name.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import common
import torch
from networks import DENSITY, dense_network, spikes
from torch import Tensor

from neurorobust.backends.engine import EngineBackend, int8, matmul

SIZES = (784, 512, 512, 10)
QUICK_SIZES = (64, 64, 10)
SQUARE = 2048
PATHS = ("float32", "int8", "event", "auto")


def main(arguments: Sequence[str] | None = None) -> None:
    made = common.parser(__doc__)
    made.add_argument("--batch", type=int, default=None, help="default 1024")
    made.add_argument("--steps", type=int, default=16)
    options = common.begin(made, arguments)
    sizes = QUICK_SIZES if options.quick else SIZES
    batch = options.batch or (64 if options.quick else 1024)
    square = 256 if options.quick else SQUARE
    model, fired = dense_network(sizes, options.steps)
    inputs = spikes(batch, sizes[0], options.steps, DENSITY)
    rows = batch * options.steps
    tasks: dict[str, Callable[[], float]] = {}
    operations: dict[str, float] = {}
    missing = {"int8": int8.unusable(), "onednn": "" if matmul.has_onednn() else "not in torch"}
    for path in PATHS:
        if missing.get(path):
            continue
        engine = EngineBackend(model, path=path)
        tasks[f"engine, {path}"] = common.timed(functools.partial(engine.run, inputs))
        operations[f"engine, {path}"] = count(rows, sizes)
    for name, make in PRODUCTS.items():
        if missing.get(name):
            continue
        shapes = [make(rows, k, n) for k, n in itertools.pairwise(sizes)]
        tasks[f"{name}, same shapes"] = common.timed(functools.partial(_all, shapes))
        operations[f"{name}, same shapes"] = count(rows, sizes)
        tasks[f"{name}, square"] = common.timed(make(square, square, square))
        operations[f"{name}, square"] = 2.0 * square**3
    seconds = common.turns(tasks, options.turns)
    rates = {
        name: [operations[name] / value / 1e9 for value in values]
        for name, values in seconds.items()
    }
    common.table(
        ("", "Gop/s", "ms"),
        [
            (name, common.Spread.of(values), f"{1e3 * common.Spread.of(seconds[name]).median:.2f}")
            for name, values in rates.items()
        ],
    )
    ratios = {}
    for name, (above, below) in RATIOS.items():
        if above in rates and below in rates:
            ratio = common.quotient(rates[above], rates[below])
            ratios[name] = {"ratio": round(ratio.median, 3), "spread": ratio}
    print()
    common.table(("", "ratio"), [(name, found["spread"]) for name, found in ratios.items()])
    for name, reason in missing.items():
        if reason:
            print(f"{name} is left out: {reason}")
    result = {
        "ratios": ratios,
        "gops": {name: common.Spread.of(values) for name, values in rates.items()},
        "missing": {name: reason for name, reason in missing.items() if reason},
        "network": {"sizes": sizes, "batch": batch, "steps": options.steps, "rates": fired},
    }
    common.finish("roofline", options, result)


def count(rows: int, sizes: Sequence[int]) -> float:
    """Operations of the dense products: a multiplication and an addition each."""
    return 2.0 * rows * sum(k * n for k, n in itertools.pairwise(sizes))


Product = Callable[[], object]
BLOCK_ROWS = 512  # a thread, of one call of the bare products: they stay in the cache


def _all(shapes: Sequence[Product]) -> None:
    for product in shapes:
        product()


def _in_blocks(product: Callable[[Tensor], object], rows: Tensor, square: bool) -> Product:
    size = BLOCK_ROWS * torch.get_num_threads()
    blocks = [rows] if square else list(rows.split(size))

    def run() -> None:
        for block in blocks:
            product(block)

    return run


def _sgemm(rows: int, inputs: int, outputs: int) -> Product:
    weight = torch.randint(-128, 128, (outputs, inputs)).float()
    signal = (torch.rand(rows, inputs) < DENSITY).float()
    return _in_blocks(lambda block: torch.mm(block, weight.t()), signal, rows == inputs)


def _onednn(rows: int, inputs: int, outputs: int) -> Product:
    weight = torch.randint(-128, 128, (outputs, inputs)).float()
    signal = (torch.rand(rows, inputs) < DENSITY).float()
    linear = torch.ops.mkldnn._linear_pointwise
    return _in_blocks(
        lambda block: linear(block, weight, None, "none", [], ""), signal, rows == inputs
    )


def _int8(rows: int, inputs: int, outputs: int) -> Product:
    packed = int8.pack(torch.randint(-128, 128, (outputs, inputs)).numpy())
    assert packed is not None
    weights = packed
    signal = (torch.rand(rows, inputs) < DENSITY).to(torch.uint8)
    return _in_blocks(lambda block: int8.int8_sums(weights, block), signal, rows == inputs)


PRODUCTS: dict[str, Callable[[int, int, int], Product]] = {
    "sgemm": _sgemm,
    "onednn": _onednn,
    "int8": _int8,
}
RATIOS: dict[str, tuple[str, str]] = {
    "float32_of_sgemm": ("engine, float32", "sgemm, same shapes"),
    "float32_of_sgemm_square": ("engine, float32", "sgemm, square"),
    "float32_of_onednn": ("engine, float32", "onednn, same shapes"),
    "int8_of_sgemm": ("engine, int8", "sgemm, same shapes"),
    "int8_of_sgemm_square": ("engine, int8", "sgemm, square"),
    "int8_of_onednn": ("engine, int8", "onednn, same shapes"),
    "int8_of_int8": ("engine, int8", "int8, same shapes"),
    "int8_of_int8_square": ("engine, int8", "int8, square"),
    "event_of_sgemm": ("engine, event", "sgemm, same shapes"),
    "auto_of_sgemm": ("engine, auto", "sgemm, same shapes"),
}


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
