"""The page and the table: they show every number, nothing hostile, nothing from elsewhere."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from neurorobust.errors import BadInput, OutputError
from neurorobust.files import write_npz
from neurorobust.records import (
    AttackRate,
    Card,
    Cell,
    Comparison,
    Confirmation,
    EncoderCard,
    ParityResult,
    Provenance,
    Record,
    RobustRate,
    rate,
)
from neurorobust.report import print_record, write_report

CLEAN, TOTAL = 973, 1000


def attacked(correct: int, zero_gradient: float | None = None) -> AttackRate:
    counted = rate(correct, TOTAL)
    return AttackRate(
        correct=correct,
        total=TOTAL,
        interval=counted.interval,
        success=rate(CLEAN - correct, CLEAN),
        zero_gradient=zero_gradient,
        seconds=12.34,
    )


def worst(**by_attack: AttackRate) -> RobustRate:
    named = {name.replace("_", "-"): value for name, value in by_attack.items()}
    correct = min(value.correct for value in named.values()) - 1
    counted = rate(correct, TOTAL)
    return RobustRate(correct=correct, total=TOTAL, interval=counted.interval, by_attack=named)


def comparison(epsilon: str, broken: tuple[int, int, int, int], p: float) -> Comparison:
    places = (
        ("float", "float"),
        ("float", "deployed"),
        ("deployed", "float"),
        ("deployed", "deployed"),
    )
    return Comparison(
        epsilon=epsilon,
        attack="pgd-linf",
        clean_float=rate(977, TOTAL),
        clean_deployed=rate(CLEAN, TOTAL),
        flips=17,
        cells=tuple(
            Cell.model_validate(
                {"crafted": crafted, "scored": scored, "success": rate(number, 961)}
            )
            for (crafted, scored), number in zip(places, broken, strict=True)
        ),
        mcnemar_p=p,
        discordant=(61, 29),
    )


def sample_record(**changes: Any) -> Record:
    """What an evaluation of a small network on digits could look like; not a result."""
    fields: dict[str, Any] = {
        "model": "digits-mlp",
        "model_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "card": Card(
            name="digits-mlp",
            dataset="digits",
            encoder=EncoderCard(kind="drive", mean=0.5, std=0.5),
            steps=16,
            training={"command": "neurorobust train --network mlp", "seed": 7},
        ),
        "backend": "engine",
        "target": "Lava's integers, computed by neurorobust's engine",
        "dataset": "digits (test)",
        "seed": 3,
        "attacks": {
            "pgd-linf": {"domain": "images", "white_box": True, "steps": 40, "step": "2.5 ε / 40"},
            "random": {"domain": "images", "white_box": False, "draws": 1},
            "flip-greedy": {"domain": "spikes", "white_box": True, "rounds": 8},
            "random-flips": {"domain": "spikes", "white_box": False},
        },
        "clean": rate(CLEAN, TOTAL),
        "robust": {
            "0.2": worst(pgd_linf=attacked(12, 0.021), random=attacked(934)),
            "0.05": worst(pgd_linf=attacked(862, 0.004), random=attacked(969)),
            "0.1": worst(pgd_linf=attacked(518, 0.004), random=attacked(961)),
        },
        "robust_flips": {
            "4": worst(flip_greedy=attacked(801, 0.013), random_flips=attacked(958)),
            "16": worst(flip_greedy=attacked(233, 0.013), random_flips=attacked(917)),
        },
        "confirmed": Confirmation(
            backend="lava", requested=32, replayed=32, identical=32, adversarial=27
        ),
        "comparison": (
            comparison("0.05", (88, 71, 64, 103), 0.00092),
            comparison("0.1", (402, 377, 361, 455), 0.21),
        ),
        "parity": (
            ParityResult(
                first="slayer",
                second="engine",
                samples=360,
                layers=(0, 1, 2),
                variables=("spikes",),
                identical=True,
            ),
            ParityResult(
                first="engine",
                second="lava",
                samples=16,
                layers=(0, 1, 2),
                variables=("spikes", "u", "v"),
                identical=False,
                first_difference="layer 1, sample 4, neuron 20, step 3: v 812 and 813",
            ),
        ),
        "provenance": Provenance(
            neurorobust="0.1.0",
            versions={"python": "3.10.14", "torch": "2.3.1", "lava-nc": "0.10.0"},
            machine={"system": "Linux 6.1", "processor": "a processor", "cores": "2"},
            command="neurorobust evaluate digits-mlp --dataset digits --eps 0.05,0.1,0.2",
            started="2026-01-02T03:04:05+00:00",
            seconds=203.4,
        ),
    }
    return Record(**(fields | changes))


def stroke(digit: int) -> np.ndarray:
    """A ring, a bar or a cross of 8x8 pixels: something an eye can follow."""
    rows, columns = np.mgrid[0:8, 0:8] - 3.5
    shape = [
        np.abs(np.hypot(rows, columns) - 2.6) < 0.8,
        (np.abs(columns) < 1.1) & (np.abs(rows) < 3),
        np.minimum(np.abs(columns - rows), np.abs(columns + rows)) < 1,
    ][digit % 3]
    return (0.9 * shape).astype(np.float32)[None]


def sample_examples(group: str, budgets: tuple[str, ...], attack: str) -> dict[str, np.ndarray]:
    """Examples as an evaluation stores them."""
    generator = np.random.default_rng(5)
    size, steps = len(budgets), 16
    clean = np.stack([stroke(number) for number in range(size)])
    sizes = np.array([float(budget) for budget in budgets], np.float32)[:, None, None, None]
    moved = clean + sizes * generator.choice([-1, 1], clean.shape).astype(np.float32)
    spikes_in = (clean[..., None] * 0.6 > generator.random((*clean.shape, steps))).astype(np.uint8)
    spikes_out = (generator.random((size, 10, steps)) < 0.15).astype(np.uint8)
    for number in range(size):
        spikes_out[number, number % 10, 2::2] = 1
    attacked_out = np.roll(spikes_out, 4, axis=1)
    arrays = {
        "index": np.arange(size) * 11,
        "budget": np.array(budgets),
        "attack": np.array([attack] * size),
        "label": np.arange(size),
        "predicted/clean": np.arange(size),
        "predicted/adversarial": np.arange(size) + 4,
        "image/clean": clean,
        "input/clean": spikes_in,
        "input/adversarial": spikes_in ^ (generator.random(spikes_in.shape) < 0.06),
        "output/clean": spikes_out,
        "output/adversarial": attacked_out,
        "membrane/clean": generator.integers(-9000, 9000, (size, 10)).astype(np.int32),
        "membrane/adversarial": generator.integers(-9000, 9000, (size, 10)).astype(np.int32),
    }
    if group == "eps":
        arrays["image/adversarial"] = np.clip(moved, 0, 1)
    return {f"example/{group}/{name}": array for name, array in arrays.items()}


def sample_arrays() -> dict[str, np.ndarray]:
    return (
        {"label": np.arange(TOTAL) % 10, "predicted/clean": np.arange(TOTAL) % 10}
        | sample_examples("eps", ("0.05", "0.1", "0.2"), "pgd-linf")
        | sample_examples("flips", ("4", "16"), "flip-greedy")
    )


def write_sample(
    directory: Path, record: Record | None = None, arrays: dict[str, np.ndarray] | None = None
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    text = (record or sample_record()).model_dump_json(indent=2)
    (directory / "record.json").write_text(text, encoding="utf-8")
    write_npz(directory / "samples.npz", sample_arrays() if arrays is None else arrays)
    return directory
