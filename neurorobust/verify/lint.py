"""`check`: what can be said of a `.net` file, by named rules, before anyone trusts it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from neurorobust.backends.engine import EngineBackend
from neurorobust.encoders import Encoder
from neurorobust.errors import CardError
from neurorobust.fixedpoint import STATE_LIMIT
from neurorobust.hardware.energy import LABEL, Counts, count
from neurorobust.hardware.fit import Fit, fit
from neurorobust.hardware.limits import LOIHI2
from neurorobust.models import card_of, check_card, locate
from neurorobust.netx import rules
from neurorobust.netx.check import BIAS_MOST, check, place
from neurorobust.netx.guarded import examine
from neurorobust.netx.model import NetxModel
from neurorobust.netx.rules import ERROR, SEVERITIES, Finding
from neurorobust.records import Card
from neurorobust.types import LayerTrace

NEAR = 0.5  # share of 2^23 that a current reached on sample data: worth a word in the message
SAMPLES = 64  # run together


@dataclass(frozen=True)
class Verdict:
    """What `check` found.

    Attributes:
        path: the file.
        model: None where it cannot be read.
        findings: most severe first, then by code.
        fit: the estimate of its size on a chip.
        counts: operations on the samples given; empty without any.
        samples: how many were given.
        energy_is: what stands behind its joules, in words.
    """

    energy_is: ClassVar[str] = LABEL
    path: Path
    model: NetxModel | None
    findings: tuple[Finding, ...]
    fit: Fit | None
    counts: tuple[Counts, ...] = ()
    samples: int = 0

    @property
    def runs(self) -> bool:
        """Whether a backend here computes it, and no rule of severity `error` is broken."""
        return self.model is not None and not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What no backend here, or no chip, would survive."""
        return tuple(found for found in self.findings if found.rule.severity == ERROR)

    @property
    def joules(self) -> float | None:
        """Energy of a sample, mean of those given, an estimate (`energy_is`); None: none given."""
        if not self.counts:
            return None
        return sum(row.joules for row in self.counts) / self.samples


def lint(
    reference: str,
    card: Card | None = None,
    steps: int | None = None,
) -> tuple[Verdict, Card | None]:
    """Check a file without running it.

    Args:
        reference: a name or a path.
        card: what the command line says; by default the one beside the file.
        steps: for how long a sample runs; by default the card's.

    Returns:
        the verdict, and the card that was used (None: there is none).

    Raises:
        BadInput: neither a known name nor a file.
    """
    path, _, _ = locate(reference)
    found = examine(path)
    findings = list(found.findings)
    if card is None:
        try:
            card = card_of(reference)
        except CardError as error:
            findings.append(Finding(rules.CARD_MISFIT, "", str(error)))
    if found.model is None:
        return Verdict(path, None, _sorted(findings), None), card
    model = found.model
    findings += _card(card, model, path)
    findings += check(model, steps or (card.steps if card is not None else None))
    fitted = fit(model)
    findings += _chip(fitted)
    return Verdict(path, model, _sorted(findings), fitted), card


def on_samples(verdict: Verdict, encoder: Encoder, x: Tensor, seed: int = 0) -> Verdict:
    """The same verdict with what samples show: dead neurons, silent layers, wraps, operations.

    Args:
        verdict: of a file that can be read.
        encoder: as the card says.
        x: samples, what the encoder takes.
        seed: of a random encoder.
    """
    model = verdict.model
    assert model is not None
    backend, generator = EngineBackend(model), torch.Generator().manual_seed(seed)
    seen: list[_Seen] = []
    counted: list[tuple[Counts, ...]] = []
    for start in range(0, len(x), SAMPLES):
        part = x[start : start + SAMPLES]
        inputs = encoder.encode(part, generator)
        numbers = [layer.number for layer in model.running_layers(inputs.driven)]
        traces = backend.run(inputs, record=numbers).layers
        seen.append({number: _look(trace) for number, trace in traces.items()})
        spikes = {number: trace.spikes.numpy() for number, trace in traces.items()}
        first = spikes[numbers[0]] if inputs.driven else inputs.values.flatten(1, 3).numpy()
        if not inputs.driven and model.input_layer is not None:
            spikes[0] = np.zeros((len(part), math.prod(model.input_shape), 0), dtype=np.uint8)
        counted.append(count(model, spikes, first))
    findings = [*verdict.findings, *_activity(model, seen)]
    counts = tuple(_add(rows) for rows in zip(*counted, strict=True))
    return Verdict(verdict.path, model, _sorted(findings), verdict.fit, counts, len(x))


_Seen = dict[int, tuple[Tensor, Tensor, float, int]]


def _look(trace: LayerTrace) -> tuple[Tensor, Tensor, float, int]:
    """Which neurons ever spiked, which always did, the largest |u|, and how often u jumped."""
    fired, u = trace.spikes.bool(), trace.u.to(torch.int64)
    jumps = int(((u[:, :, 1:] - u[:, :, :-1]).abs() > STATE_LIMIT).sum())
    return fired.any(2).any(0), fired.all(2).all(0), float(u.abs().max()), jumps


def _activity(model: NetxModel, seen: list[_Seen]) -> Iterator[Finding]:
    for layer in model.spiking_layers:
        if layer.number not in seen[0] or layer.neuron is None:
            continue
        parts = [part[layer.number] for part in seen]
        ever = torch.stack([part[0] for part in parts]).any(0)
        always = torch.stack([part[1] for part in parts]).all(0)
        total = len(ever)
        dead = total - int(ever.sum())
        if dead == total:
            yield Finding(rules.SILENT_LAYER, place(layer), f"0 of {total} neurons spiked")
        elif dead:
            yield Finding(rules.DEAD_NEURONS, place(layer), f"{dead} of {total} neurons")
        if bool(always.any()):
            yield Finding(rules.ALWAYS_ON, place(layer), f"{int(always.sum())} of {total} neurons")
        peak, jumps = max(part[2] for part in parts), sum(part[3] for part in parts)
        if peak > NEAR * STATE_LIMIT:
            text = f"|u| reached {peak / STATE_LIMIT:.0%} of the limit"
            jumped = f", and jumped by more than it {jumps} times" if jumps else ""
            yield Finding(rules.NEAR_WRAP, place(layer), text + jumped)


def _add(rows: tuple[Counts, ...]) -> Counts:
    return Counts(
        rows[0].number,
        sum(row.synaptic_operations for row in rows),
        sum(row.neuron_updates for row in rows),
        sum(row.active_updates for row in rows),
        sum(row.spikes for row in rows),
    )


def _card(card: Card | None, model: NetxModel, path: Path) -> Iterator[Finding]:
    if card is None:
        yield Finding(rules.CARD_MISSING, "", "no card.json beside the file, and none was given")
        return
    try:
        check_card(card, model, path)
    except CardError as error:
        yield Finding(rules.CARD_MISFIT, "", str(error))
        return
    steps = card.steps + len(model.spiking_layers)
    if steps & (steps - 1):
        power = 1 << steps.bit_length()
        yield Finding(
            rules.INTERVAL, "", f"{card.steps} steps and {steps - card.steps} layers: {power} steps"
        )
    if model.input_layer is not None and card.encoder.kind == "drive":
        layer = model.input_layer
        ends = [
            layer.weight * (pixel - card.encoder.mean) / card.encoder.std + layer.bias
            for pixel in (0.0, 1.0)
        ]
        low, high = math.trunc(min(ends)), math.trunc(max(ends))
        if low < -BIAS_MOST or high >= BIAS_MOST:
            yield Finding(
                rules.DRIVE_RANGE,
                place(layer),
                f"pixels 0 to 1 drive bias_mant {low} to {high}, 13 bits hold "
                f"[{-BIAS_MOST}, {BIAS_MOST - 1}]",
            )
    device: Any = card.training.get("device", "cpu")
    if str(device).startswith("cuda"):
        yield Finding(rules.CUDA_TRAINED, "", f"trained on {device}")


def _chip(fitted: Fit) -> Iterator[Finding]:
    for layer in fitted.layers:
        where = f"layer {layer.number} ({layer.kind})"
        if layer.cores == 0:
            yield Finding(
                rules.LAYER_SIZE,
                where,
                f"{layer.axons} axons and {layer.memory} words at least, limits "
                f"{LOIHI2['axons'].value:.0f} and {LOIHI2['memory'].value:.0f}",
            )
    if fitted.cores > LOIHI2["cores"].value:
        yield Finding(
            rules.CORES, "", f"{fitted.cores} cores, a chip has {LOIHI2['cores'].value:.0f}"
        )


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(
        sorted(findings, key=lambda found: (SEVERITIES.index(found.rule.severity), found.code))
    )
