"""The search that tries to beat a recipe: exact, held to its budget, and stronger than noise."""

from __future__ import annotations

import importlib
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from neurorobust import datasets, models
from neurorobust.attacks import find
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import ImageBudget, SpikeBudget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation import Request, evaluate
from neurorobust.netx.model import (
    ConvLayer,
    DenseLayer,
    FlattenLayer,
    InputLayer,
    NetxModel,
    Neuron,
    RecurrentLayer,
)

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
STEPS = 12


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A module of the search, which is not part of the package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return lambda name: importlib.import_module(f"searching.{name}")


def convolutional(seed: int, readout: str) -> NetxModel:
    """Groups, stride, padding, dilation, biases, one decay a channel, delays."""
    rng = np.random.default_rng(seed)
    first = Neuron(rng.integers(0, 4097, 4), rng.integers(0, 4097, 4), rng.integers(20, 90, 4))
    second = Neuron(np.array(700), np.array(100), np.array(60))
    kernel = rng.integers(-60, 90, (4, 1, 3, 2))
    bias, dense = rng.integers(-9, 9, 4), 2 * rng.integers(-50, 60, (5, 24))
    return NetxModel(
        (2, 6, 5),
        (
            InputLayer(0, (2, 6, 5), None),
            ConvLayer(1, (4, 3, 2), first, kernel, bias, (2, 1), (1, 0), (1, 3), 2),
            FlattenLayer(2, (24, 1, 1)),
            DenseLayer(3, (5, 1, 1), second if readout == "count" else None, dense,
                       delay=rng.integers(0, 4, dense.shape)),
        ),
        sha256=f"{seed:064x}",
    )  # fmt: skip


@pytest.mark.parametrize("readout", ["count", "membrane"])
def test_changes_are_followed_exactly(part: Callable[[str], ModuleType], readout: str) -> None:
    network, loops, events = part("delta_network"), part("delta_loops"), part("events")
    for seed in range(3):
        model = convolutional(seed, readout)
        net, rng = network.build(model, STEPS, readout), np.random.default_rng(seed)
        state = loops.empty(net)
        spikes = (rng.random((60, STEPS)) < 0.3).astype(np.uint8)
        now = events.words(spikes)
        loops.refresh(net, state, now)
        fired = 0
        for change in range(60):
            places = rng.choice(60, 3, replace=False)
            words = now[places] ^ rng.integers(1, 1 << STEPS, 3).astype(np.uint64)
            loops.probe(net, state, places, words, 3)
            tried = now.copy()
            tried[places] = words
            bits = tried[:, None] >> np.arange(STEPS, dtype=np.uint64) & np.uint64(1)
            given = torch.from_numpy(bits.astype(np.uint8)).view(1, 2, 6, 5, STEPS)
            run = EngineBackend(model).run(given)
            whole, soft = np.zeros(5, np.int64), np.zeros(5)
            loops.answer(net, state, whole, soft)
            counts = run.spikes[0].long().sum(-1)
            wanted = counts if readout == "count" else run.membrane[0]
            assert whole.tolist() == wanted.tolist()
            fired += int(counts.sum())
            made = bool(change % 3)
            loops.settle(net, state, made)
            now = tried if made else now
        assert fired > 0 or readout == "membrane", "a network that never fires tests nothing"


def test_the_search_shares_no_code_with_the_attacks() -> None:
    code = (
        "import sys; from searching import hunt, records, verify; "
        "print([name for name in sys.modules if name.startswith('neurorobust.attacks')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=FOLDER, timeout=250
    )
    assert done.stdout.strip() == "[]", done.stderr[-2000:]


def test_what_the_search_cannot_follow_is_refused(part: Callable[[str], ModuleType]) -> None:
    build = part("delta_network").build
    weights = np.full((4, 4), 2)
    neuron = Neuron(*(np.array(value) for value in (1024, 128, 64)))
    model = NetxModel((4, 1, 1), (RecurrentLayer(0, (4, 1, 1), neuron, weights, weights),))
    with pytest.raises(BadInput, match=r"layer 0 \(dense_rec\)"):
        build(model, STEPS, "count")
    with pytest.raises(BadInput, match="steps 65"):
        build(convolutional(0, "count"), 65, "count")
    weights = np.full((4, 4), -3)
    weights[0, 0], weights[1, 1] = -128, 0  # the one is clipped to -255 / 2
    lossy = NetxModel((4, 1, 1), (DenseLayer(0, (4, 1, 1), neuron, weights),))
    with pytest.raises(BadInput, match=r"layer 0 \(dense\): weights lose bits"):
        build(lossy, STEPS, "count")


def digits(count: int) -> tuple[Classifier, torch.Tensor, torch.Tensor]:
    network = models.resolve("digits-mlp")
    x, labels = datasets.load("digits", limit=count).batch(0, count)
    return network.classifier(EngineBackend(network.model)), x, labels


def test_verification_rejects_what_leaves_the_budget(part: Callable[[str], ModuleType]) -> None:
    verdicts = part("verify").verdicts
    classifier, x, _ = digits(6)
    labels = classifier.predict(x)
    wrong = (labels + 1) % 10  # then every unchanged sample counts as broken
    budget, targets = ImageBudget(0.1), {"engine": classifier}
    assert verdicts(x, x, wrong, budget, targets) == [None] * 6
    far = x.clone()
    far[0, 0, 0, 0] = float(np.nextafter(np.float32(0.1), np.float32(1)))
    far[1, 0, 0, 0] = 1.5
    far[2, 0, 0, 0] = float("nan")
    reasons = verdicts(far, x, wrong, budget, targets)
    assert reasons[0].startswith("a pixel moved by 0.1")
    assert "outside [0, 1]" in reasons[1]
    assert reasons[2] == "not finite"
    assert reasons[3:] == [None] * 3
    assert all("engine still says" in reason for reason in verdicts(x, x, labels, budget, targets))


def test_verification_counts_flips_itself(part: Callable[[str], ModuleType]) -> None:
    complaint = part("verify").complaint
    x = torch.zeros(2, 3, 3, 4, dtype=torch.uint8)
    found = x.clone()
    found.flatten()[:3] = 1
    assert complaint(found, x, SpikeBudget(3)) is None
    assert complaint(found, x, SpikeBudget(2)) == "3 flips of 2"
    found[1, 2, 2, 3] = 2
    assert complaint(found, x, SpikeBudget(9)) == "spike value 2"
    assert complaint(found.float(), x, SpikeBudget(9)) is not None


def test_choices_stay_in_the_ball_and_make_what_they_say(
    part: Callable[[str], ModuleType],
) -> None:
    images, events = part("images"), part("events")
    classifier, x, _ = digits(3)
    for image in x:
        starts, choices, values, levels = images.choices_of(classifier, image, 0.1)
        owner = np.repeat(np.arange(64), np.diff(starts))
        moved = values.astype(np.float64) - image.flatten().double().numpy()[owner]
        assert np.abs(moved).max() <= 0.1
        assert values.min() >= 0
        assert values.max() <= 1
        assert np.diff(starts).max() > 2, "more than the two corners"
        rows = starts[:-1] + (np.diff(starts) > 1)
        picture = torch.from_numpy(values[rows].reshape(1, 1, 8, 8))
        spikes = images.input_spikes(classifier, picture)
        assert events.words(spikes[0]).tolist() == choices[rows].tolist()
        low, high = images.corners(image.numpy().ravel(), 0.1)
        middle = torch.from_numpy(((low.astype(np.float64) + high) / 2).astype(np.float32))
        spikes = images.input_spikes(classifier, middle.view(1, 1, 8, 8))
        half = starts[:-1] + levels[images.VALUES // 2]
        assert events.words(spikes[0]).tolist() == choices[half].tolist()


def test_survivors_of_noise_are_beaten(tmp_path: Path) -> None:
    classifier, _, _ = digits(1)
    network, out = models.resolve("digits-mlp"), tmp_path / "weak"
    data = datasets.load("digits", limit=12)
    evaluate(
        classifier,
        data,
        Request([find("random")], {"eps": ["0.2"]}),
        card=network.card,
        model=network.name,
        out=out,
    )
    document, broken = tmp_path / "beaten.json", tmp_path / "found"
    command = [
        sys.executable, str(FOLDER / "beat_standard.py"), "--quick", "--threads", "1",
        "--model", "digits-mlp", "--eps", "0.2", "--limit", "12", "--record", str(out),
        "--json", str(document), "--found", str(broken),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(document.read_text(encoding="utf-8"))
    case = result["cases"]["digits-mlp eps=0.2"]
    assert case["standing"] >= 10, "noise breaks next to nothing"
    assert case["broken"] > case["limit"] == 1
    assert case["refused"] == 0
    assert result["machine"]["processor"]
    assert math.isclose(result["ratios"]["digits-mlp eps=0.2"], case["broken"])
    (file,) = broken.iterdir()
    with np.load(file) as arrays:
        x, labels = data.batch(0, 12)
        rows, found = arrays["index"], torch.from_numpy(arrays["adversarial"])
    assert len(rows) == case["broken"]
    assert float((found.double() - x[rows].double()).abs().max()) <= 0.2
    assert not bool((classifier.predict(found) == labels[rows]).any())


def test_a_record_of_something_else_is_refused(
    part: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    survivors = part("records").survivors
    classifier, _, _ = digits(1)
    network, data = models.resolve("digits-mlp"), datasets.load("digits", limit=4)
    evaluate(
        classifier,
        data,
        Request([find("random")], {"eps": ["0.1"]}),
        card=network.card,
        model=network.name,
        out=tmp_path,
    )
    sha256 = network.model.sha256
    x, labels = data.batch(0, 4)
    right = (classifier.predict(x) == labels).nonzero().flatten().tolist()
    assert 0 < len(survivors(tmp_path, "eps=0.1", sha256, data)) <= len(right)
    with pytest.raises(BadInput, match="another network"):
        survivors(tmp_path, "eps=0.1", "0" * 64, data)
    with pytest.raises(BadInput, match=r"no attack at eps=0\.2"):
        survivors(tmp_path, "eps=0.2", sha256, data)
    with pytest.raises(BadInput, match="no finished evaluation"):
        survivors(tmp_path / "nowhere", "eps=0.1", sha256, data)
    with pytest.raises(BadInput, match="other samples"):
        survivors(tmp_path, "eps=0.1", sha256, data.limited(3))
