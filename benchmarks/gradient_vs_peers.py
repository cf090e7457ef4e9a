"""A training step of the exact engine against SLAYER, snnTorch, SpikingJelly and Norse.

784-512-512-10, batch 256, T = 16 and 32: forward, a loss on the rates, gradients of all weights; no
optimiser. All on the same input spikes, in turns, with every layer tuned (by the scale of its
weights) to fire at 10 %. SLAYER gets the engine's own integers, so its spikes must be the engine's;
with the engine's surrogate in place of its own, its weight gradients are compared by cosine.

The engine runs in both precisions of its backward products: `<peer>_T<steps>` is against
bfloat16 (asked for explicitly), `<peer>_T<steps>_float32` against float32.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import common
import torch
from networks import DENSITY, RATE, dense_network, spikes
from peers import PEERS, SURROGATE, Peer, Slayer, loss, rates, slayer_surrogate, tune
from torch import Tensor

from neurorobust.backends.engine.trainable import TrainableEngine
from neurorobust.types import Spikes

SIZES = (784, 512, 512, 10)
QUICK_SIZES = (64, 32, 10)
PRECISIONS = {"engine bfloat16": "bfloat16", "engine float32": "float32"}


def main(arguments: Sequence[str] | None = None) -> None:
    made = common.parser(__doc__)
    made.add_argument("--batch", type=int, default=None, help="default 256")
    options = common.begin(made, arguments)
    sizes = QUICK_SIZES if options.quick else SIZES
    batch = options.batch or (8 if options.quick else 256)
    ratios: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for steps in (4,) if options.quick else (16, 32):
        measured = measure(sizes, batch, steps, options.turns)
        ratios |= measured["ratios"]
        details[f"T{steps}"] = {key: value for key, value in measured.items() if key != "ratios"}
        show(steps, measured)
    result = {"sizes": sizes, "batch": batch, "ratios": ratios, "details": details}
    common.finish("gradient_vs_peers", options, result)
    if not all(case["agreement"]["spikes_identical"] for case in details.values()):
        raise SystemExit("gradient_vs_peers: the engine's spikes differ from SLAYER's")


def measure(sizes: tuple[int, ...], batch: int, steps: int, turns: int) -> dict[str, Any]:
    """All libraries at one number of steps, in turns."""
    model, _ = dense_network(sizes, steps)
    inputs = spikes(batch, sizes[0], steps, DENSITY)
    x = inputs[:, :, 0, 0].transpose(1, 2).to(torch.float32).contiguous()
    peers: dict[str, Peer] = {"slayer": Slayer(model)}
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    for name in missing:
        print(f"{name} is not installed here and is left out")
    for name in [name for name in PEERS if name not in missing]:
        peers[name] = PEERS[name](sizes)
        tune(peers[name], peers[name].layout(x[:32]), RATE)
    engines = {
        name: TrainableEngine(model, SURROGATE, precision) for name, precision in PRECISIONS.items()
    }
    tasks: dict[str, Callable[[], float]] = {
        name: common.timed(functools.partial(step, engine, inputs))
        for name, engine in engines.items()
    }
    for name, peer in peers.items():
        tasks[name] = common.timed(functools.partial(peer.step, peer.layout(x)))
    seconds = common.turns(tasks, turns)
    ratios: dict[str, Any] = {}
    for precision, suffix in (("engine bfloat16", ""), ("engine float32", "_float32")):
        for name in peers:
            ratio = common.quotient(seconds[name], seconds[precision])
            ratios[f"{name}_T{steps}{suffix}"] = {"ratio": round(ratio.median, 2), "spread": ratio}
    return {
        "ratios": ratios,
        "missing": missing,
        "milliseconds": {
            name: common.Spread.of(1e3 * value for value in values)
            for name, values in seconds.items()
        },
        "rates": {name: rates(peer, peer.layout(x)) for name, peer in peers.items()},
        "agreement": agreement(engines, peers["slayer"], x, inputs),
    }


def step(engine: TrainableEngine, inputs: Spikes) -> Tensor:
    """As `Peer.step`."""
    engine.zero_grad()
    rate = engine(inputs).spikes.mean(-1)
    loss(rate).backward()
    return rate


def agreement(
    engines: dict[str, TrainableEngine], slayer: Peer, x: Tensor, inputs: Spikes
) -> dict[str, Any]:
    """Against SLAYER on the same integers: output spikes, and weight gradients a layer."""
    found: dict[str, Any] = {}
    given = slayer.layout(x)
    with torch.no_grad():
        theirs = slayer.layers(given)[-1]
        found["output_spikes"] = int(theirs.sum())
        found["spikes_identical"] = all(
            torch.equal(engine(inputs).spikes, theirs) for engine in engines.values()
        )
    with slayer_surrogate():
        slayer.step(given)
    for name, engine in engines.items():
        step(engine, inputs)
        pairs = [
            (ours.grad, weight.grad)
            for ours, weight in zip(engine.weights.values(), slayer.weights, strict=True)
        ]
        found[f"cosine {name}"] = [round(_cosine(a, b), 6) for a, b in pairs]
    slayer.step(given)
    pairs = [
        (ours.grad, weight.grad)
        for ours, weight in zip(engine.weights.values(), slayer.weights, strict=True)
    ]
    found["cosine, each its own surrogate"] = [round(_cosine(a, b), 4) for a, b in pairs]
    return found


def _cosine(a: Tensor | None, b: Tensor | None) -> float:
    assert a is not None
    assert b is not None
    x, y = a.flatten().double(), b.flatten().double()
    return float(x @ y / (x.norm() * y.norm()))


def show(steps: int, measured: dict[str, Any]) -> None:
    """Print one number of steps."""
    print(f"\nT = {steps}")
    rows = []
    for name, spent in measured["milliseconds"].items():
        spreads = [
            measured["ratios"].get(f"{name}_T{steps}{suffix}", {}).get("spread", "-")
            for suffix in ("", "_float32")
        ]
        fired = measured["rates"].get(name, measured["rates"]["slayer"])
        rows.append((name, spent, *spreads, " ".join(f"{rate:.3f}" for rate in fired)))
    heads = ("", "ms", "times engine bfloat16", "times engine float32", "rates of the layers")
    common.table(heads, rows)
    for name, value in measured["agreement"].items():
        print(f"against SLAYER, {name}: {value}")


if __name__ == "__main__":
    main()
