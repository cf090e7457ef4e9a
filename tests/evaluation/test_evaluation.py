from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.backends.base import InProcess
from neurorobust.backends.engine import EngineBackend
from neurorobust.budgets import ImageBudget, SpikeBudget, parse, project
from neurorobust.classifier import Classifier
from neurorobust.datasets.base import Dataset
from neurorobust.encoders import LatencyEncoder
from neurorobust.errors import BadInput, DatasetError, OutputError
from neurorobust.evaluation import Request, evaluate, load_samples, read_record
from neurorobust.evaluation.query import pack, unpack
from neurorobust.evaluation.seeds import fork
from neurorobust.evaluation.trial import sound
from neurorobust.netx.model import DenseLayer, NetxModel
from neurorobust.readouts import Readout
from neurorobust.records import Card, EncoderCard
from neurorobust.statistics import wilson

FAST = replace(ATTACKS["pgd-linf"], steps=5, draws=2)
SAMPLES = 150  # three shards, the last one short


def card(kind: str = "drive") -> Card:
    return Card(encoder=EncoderCard(kind=kind, mean=0.0, std=1.0), steps=12, readout="count")


def dataset(classifier, samples: int = SAMPLES, wrong: int = 10) -> Dataset:
    """Random pictures with the network's own labels, the first `wrong` of them spoiled."""
    x = torch.rand(samples, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = classifier.predict(x, torch.Generator().manual_seed(0))
    y[:wrong] = (y[:wrong] + 1) % 4
    return Dataset("toy", "test", x, y, 4)


@pytest.fixture(scope="module")
def drive(spiking):
    return spiking("drive")


@pytest.fixture(scope="module")
def finished(drive, tmp_path_factory):
    """One whole evaluation: its record, samples and directory."""
    out = tmp_path_factory.mktemp("evaluation") / "run"
    record = evaluate(
        drive,
        dataset(drive),
        Request(
            [FAST, "random", "spike-topk", "spike-random"],
            {"eps": ["0.02", "8/255", "0.1"], "flips": ["3", "12"]},
        ),
        card=card(),
        model="toy",
        out=out,
    )
    return record, load_samples(out), out


# --- seeds, budgets, projection


def test_a_fork_depends_on_every_word_and_on_nothing_else():
    state = torch.get_rng_state()
    draws = [
        torch.rand(4, generator=fork(*words)).tolist()
        for words in [(0,), (1,), (0, 0), (0, "a"), (0, "a", 0.1), (0, "a", 0.1, "b"), (0, "a|0.1")]
    ]
    assert len({tuple(draw) for draw in draws}) == len(draws)
    assert torch.rand(4, generator=fork(0, "a", 0.1)).tolist() == draws[4]
    digest = hashlib.sha256(b"0|7|'pgd-linf'|'eps'|0.1").digest()  # as documented
    seed = int.from_bytes(digest[:8], "big") & ~(1 << 63)
    assert fork(0, 7, "pgd-linf", "eps", 0.1).initial_seed() == seed
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("0.1", 0.1), ("8/255", 8 / 255), ("1e-3", 0.001), ("1", 1.0)]
)
def test_epsilons_as_typed(text: str, value: float):
    assert parse("eps", text) == ImageBudget(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-0.1", r"eps '-0.1': outside \[0, 1\]"),
        ("nan", r"eps 'nan': outside \[0, 1\]"),
        ("1.5", r"eps '1.5': outside \[0, 1\]"),
        ("inf", r"eps 'inf': outside \[0, 1\]"),
        ("255/8", r"eps '255/8': outside \[0, 1\]"),
        ("a lot", "eps 'a lot': not a number, need for example 0.1 or 8/255"),
        ("1/0", "eps '1/0': not a number"),
        ("", "eps '': not a number"),
    ],
)
def test_bad_epsilons_are_named(text: str, message: str):
    with pytest.raises(BadInput, match=message):
        parse("eps", text)


@pytest.mark.parametrize(
    ("text", "message"), [("-1", "flips '-1': below 0"), ("1.5", "flips '1.5': not a whole number")]
)
def test_bad_flips_are_named(text: str, message: str):
    with pytest.raises(BadInput, match=message):
        parse("flips", text)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 8 / 255, 1.0])
def test_projected_images_are_inside_in_exact_arithmetic(epsilon: float):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(50, 1, 5, 5, generator=generator)
    x[0], x[1] = 0.0, 1.0
    wild = x + 4 * (torch.rand(x.shape, generator=generator) - 0.5)
    inside, outside = project(wild, x, ImageBudget(epsilon))
    assert float((inside.double() - x.double()).abs().max()) <= epsilon
    assert float(inside.min()) >= 0
    assert float(inside.max()) <= 1
    assert bool(outside.all())
    assert torch.equal(project(inside, x, ImageBudget(epsilon))[0], inside)
    assert not project(inside, x, ImageBudget(epsilon))[1].any()
    assert torch.equal(project(x, x, ImageBudget(epsilon))[0], x)


def test_projected_spikes_keep_the_first_flips():
    x = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0]], dtype=torch.uint8).view(2, 4, 1, 1, 1)
    wild = torch.tensor([[1, 0, 1, 0], [0, 0, 1, 0]], dtype=torch.uint8).view(2, 4, 1, 1, 1)
    inside, outside = project(wild, x, SpikeBudget(2))
    assert inside.flatten(1).tolist() == [[1, 0, 0, 1], [0, 0, 1, 0]]
    assert outside.tolist() == [True, False]


def test_what_cannot_be_scored_is_sifted_out():
    x = torch.full((3, 1, 1, 2), 0.5)
    proposal = x + 0.1
    proposal[1, 0, 0, 0] = torch.nan
    usable, failed = sound(proposal, x)
    assert failed.tolist() == [False, True, False]
    assert torch.equal(usable[1], x[1])
    assert torch.equal(usable[0], proposal[0])
    for wrong in (x[:2], x.view(3, 2), None):
        usable, failed = sound(wrong, x)
        assert failed.all()
        assert torch.equal(usable, x)
    spikes = torch.zeros(2, 1, 1, 1, 3, dtype=torch.uint8)
    fractional = torch.tensor([[0.0, 1, 0], [0.5, 0, 1]]).view(2, 1, 1, 1, 3)
    usable, failed = sound(fractional, spikes)
    assert failed.tolist() == [False, True]
    assert usable.dtype == torch.uint8


def test_packed_spikes_unpack():
    spikes = (torch.rand(5, 3, 1, 1, 7) < 0.5).to(torch.uint8)
    assert pack(spikes).shape == (5, 3)
    assert torch.equal(unpack(pack(spikes), (3, 1, 1, 7)), spikes)


# --- the record


def test_counts_follow_from_the_samples(finished):
    record, samples, _ = finished
    label, right = samples["label"], samples["predicted/clean"] == samples["label"]
    assert (record.clean.correct, record.clean.total) == (SAMPLES - 10, SAMPLES)
    assert record.clean.interval == wilson(SAMPLES - 10, SAMPLES)
    assert list(record.robust) == ["eps", "flips"]
    assert list(record.robust["eps"]) == ["0.02", "8/255", "0.1"]
    assert list(record.robust["flips"]) == ["3", "12"]
    for kind, rates in record.robust.items():
        for typed, robust in rates.items():
            standing = right.copy()
            assert len(robust.by_attack) == 2
            for name, rate in robust.by_attack.items():
                survived = right & (samples[f"predicted/{kind}={typed}/{name}"] == label)
                standing &= survived
                assert (rate.correct, rate.total) == (survived.sum(), SAMPLES)
                assert rate.success.correct == right.sum() - survived.sum()
                assert rate.success.total == right.sum()
                assert (rate.failed, rate.projected) == (0, 0)
            assert (robust.correct, robust.total) == (standing.sum(), SAMPLES)
            assert robust.interval == wilson(int(standing.sum()), SAMPLES)
    assert (
        record.robust["eps"]["0.1"].correct
        < record.robust["eps"]["0.02"].correct
        < record.clean.correct
    )


def test_labels_are_the_targets_own_on_what_was_stored(finished, drive):
    record, samples, _ = finished
    data = dataset(drive)
    for typed, robust in record.robust["eps"].items():
        for name in robust.by_attack:
            adversarial = torch.from_numpy(samples[f"adversarial/eps={typed}/{name}"])
            moved = (adversarial.double() - data.x.double()).abs().max()
            assert 0 < float(moved) <= parse("eps", typed).size
            predicted = drive.predict(adversarial)
            assert predicted.tolist() == samples[f"predicted/eps={typed}/{name}"].tolist()


def test_white_box_attacks_report_zero_gradients_and_controls_do_not(finished):
    record, samples, _ = finished
    by_attack = record.robust["eps"]["0.1"].by_attack
    assert by_attack["pgd-linf"].zero_gradient == samples["zero_gradient/pgd-linf"].mean()
    assert by_attack["random"].zero_gradient is None
    assert "zero_gradient/random" not in samples


def test_examples_are_successes_with_their_spikes(finished, drive):
    _, samples, _ = finished
    for group, key in (("eps", "image/adversarial"), ("flips", "input/adversarial")):
        found = {name.removeprefix(f"example/{group}/"): a for name, a in samples.items()
                 if name.startswith(f"example/{group}/")}  # fmt: skip
        count = len(found["index"])
        assert 1 <= count <= 6
        assert len(set(found["index"].tolist())) == count
        assert (found["predicted/clean"] == found["label"]).all()
        assert (found["predicted/adversarial"] != found["label"]).all()
        assert found["input/clean"].shape == (count, 16, 1, 1, 12)
        assert found["output/clean"].sum(-1).argmax(1).tolist() == found["predicted/clean"].tolist()
        for row in range(count):
            name = f"{group}={found['budget'][row]}/{found['attack'][row]}"
            stored = samples[f"adversarial/{name}"][found["index"][row]]
            assert np.array_equal(found[key][row], stored)
            assert (
                samples[f"predicted/{name}"][found["index"][row]]
                == found["predicted/adversarial"][row]
            )
        assert (found["input/clean"] != found["input/adversarial"]).any()


def test_the_record_on_disk_is_the_record(finished):
    record, _, out = finished
    assert read_record(out) == record
    assert sorted(path.name for path in out.iterdir()) == [
        "record.json",
        "samples.npz",
        "settings.json",
    ]
    assert record.attacks["pgd-linf"]["steps"] == 5
    assert (record.backend, record.model, record.dataset) == ("engine", "toy", "toy")


def timeless(record) -> dict:
    plain = record.model_dump()
    plain.pop("provenance")
    for rates in plain["robust"].values():
        for robust in rates.values():
            for rate in robust["by_attack"].values():
                rate.pop("seconds")
    return plain


@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_an_interrupted_run_resumes_to_the_same_record(drive, tmp_path, stop_after: int):
    request = Request([FAST, "random"], {"eps": ["0.05"]}, seed=3)
    settings = {"card": card(), "request": request}
    data, calls = dataset(drive), []

    def stop(done: int, total: int, what: str) -> None:
        calls.append((done, total, what))
        if len(calls) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(drive, data, **settings, out=tmp_path / "a", progress=stop)
    assert not (tmp_path / "a/record.json").exists()
    resumed = evaluate(drive, data, **settings, out=tmp_path / "a", resume=True)
    whole = evaluate(drive, data, **settings, out=tmp_path / "b")
    assert timeless(resumed) == timeless(whole)
    assert (tmp_path / "a/samples.npz").read_bytes() == (tmp_path / "b/samples.npz").read_bytes()
    assert calls[0][1] == 3 * 3
    again = evaluate(drive, data, **settings, out=tmp_path / "a", resume=True)
    assert again == resumed


def test_resuming_does_not_repeat_finished_work(drive, tmp_path):
    settings = {"card": card(), "request": Request(["random"], {"eps": ["0.05"]})}
    told: list[str] = []

    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(drive, dataset(drive), **settings, out=tmp_path, progress=stop)
    evaluate(
        drive, dataset(drive), **settings, out=tmp_path, resume=True,
        progress=lambda done, total, what: told.append(f"{done}/{total} {what}"),
    )  # fmt: skip
    assert told[0] == "3/6 resumed"
    assert told[-1] == "6/6 eps=0.05/random"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"request": Request(["random"], {"eps": ["0.1"]}, seed=1)},
            "holds a run with other settings: seed was 0, now 1; --overwrite",
        ),
        (
            {"request": Request(["random"], {"eps": ["0.2"]})},
            r'jobs was \["eps=0.1/random"\], now \["eps=0.2/random"\]',
        ),
        (
            {
                "card": Card(
                    encoder=EncoderCard(kind="drive", mean=0.0, std=1.0), steps=9, readout="count"
                )
            },
            "card.steps was 12, now 9",
        ),
    ],
)
def test_other_settings_are_not_resumed(drive, tmp_path, change: dict, message: str):
    request = Request(["random"], {"eps": ["0.1"]})
    settings = {"card": card(), "request": request, "out": tmp_path}
    evaluate(drive, dataset(drive, 10, 0), **settings)
    with pytest.raises(OutputError, match=message):
        evaluate(drive, dataset(drive, 10, 0), **settings | change, resume=True)
    evaluate(drive, dataset(drive, 10, 0), **settings | change, overwrite=True)


def test_an_existing_result_is_not_touched_without_a_flag(finished, drive):
    _, _, out = finished
    before = (out / "record.json").read_bytes()
    with pytest.raises(OutputError, match="already holds a result; --resume or --overwrite"):
        evaluate(drive, dataset(drive), Request(), card=card(), out=out)
    with pytest.raises(OutputError, match="resume and overwrite exclude each other"):
        evaluate(
            drive, dataset(drive), Request(), card=card(), out=out, resume=True, overwrite=True
        )
    assert (out / "record.json").read_bytes() == before


def test_a_path_that_cannot_be_written_is_refused_before_any_work(drive, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(OutputError, match="cannot be written"):
            evaluate(
                drive,
                dataset(drive),
                Request(),
                card=card(),
                out=out,
                progress=lambda *_: pytest.fail("work was done"),
            )


def test_other_files_in_the_directory_stay(drive, tmp_path):
    (tmp_path / "model.net").write_text("mine")
    for overwrite in (False, True):
        evaluate(
            drive, dataset(drive, 5, 0), Request(), card=card(), out=tmp_path, overwrite=overwrite
        )
    assert (tmp_path / "model.net").read_text() == "mine"


def test_without_attacks_there_is_only_clean_accuracy(drive):
    record = evaluate(drive, dataset(drive), Request(), card=card())
    assert record.clean.correct == SAMPLES - 10
    assert (record.robust, record.attacks) == ({}, {})


def test_an_evaluation_leaves_the_world_as_it_was(drive):
    data, threads, state = dataset(drive, 20), torch.get_num_threads(), torch.get_rng_state()
    before = data.x.clone()
    evaluate(drive, data, Request([FAST, "random"], {"eps": ["0.1"]}), card=card())
    assert torch.equal(data.x, before)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


# --- attacks that misbehave


class Misbehaving:
    """Proposes whatever a function makes of x."""

    name, kind, access, control = "misbehaving", "eps", "none", False

    def __init__(self, make) -> None:
        self.make = make

    def __call__(self, classifier, x, labels, budget, generator):
        return self.make(x)


def misbehave(classifier, make, epsilon: str = "0.1"):
    record = evaluate(
        classifier,
        dataset(classifier, 70),
        Request([Misbehaving(make)], {"eps": [epsilon]}),
        card=card(),
    )
    return record, record.robust["eps"][epsilon].by_attack["misbehaving"]


def test_proposals_that_are_not_finite_count_as_not_broken(drive):
    def make(x):
        x[::2] = torch.nan
        return x

    record, rate = misbehave(drive, make)
    assert (rate.failed, rate.correct, rate.total) == (35, record.clean.correct, 70)


@pytest.mark.parametrize("make", [lambda x: x[:3], lambda x: None, lambda x: x.flatten(1)])
def test_proposals_of_a_wrong_shape_count_as_not_broken(drive, make):
    record, rate = misbehave(drive, make)
    assert (rate.failed, rate.correct, rate.success.correct) == (70, record.clean.correct, 0)


def test_proposals_outside_the_budget_are_projected(drive):
    record, rate = misbehave(drive, lambda x: 1 - x, "0")
    assert rate.projected == 70
    assert rate.correct == record.clean.correct


def test_changing_x_in_place_changes_nothing_else(drive):
    record, rate = misbehave(drive, lambda x: x.fill_(0.5), "0.01")
    assert record.clean.correct == 60
    assert rate.projected == 70


# --- random encoders, spikes


def test_scored_draws_are_fresh_and_stored(spiking, tmp_path):
    classifier = spiking("poisson")
    data = dataset(classifier)
    record = evaluate(
        classifier,
        data,
        Request([FAST, "random", "spike-topk"], {"eps": ["0.05", "0.1"], "flips": ["5"]}),
        card=card("poisson"),
        out=tmp_path,
    )
    samples = load_samples(tmp_path)
    shape = tuple(samples["drawn_shape"].tolist())
    assert shape == (16, 1, 1, 12)
    names = ["clean"] + [f"eps={e}/{a}" for e in ("0.05", "0.1") for a in ("pgd-linf", "random")]
    for name in names:
        drawn = unpack(samples[f"drawn/{name}"], shape)
        labels = classifier.readout.labels(classifier.backend.run(drawn))
        assert labels.tolist() == samples[f"predicted/{name}"].tolist()
    assert len({samples[f"drawn/{name}"].tobytes() for name in names}) == len(names)
    flips = (
        samples["adversarial/flips=5/spike-topk"] != unpack(samples["drawn/clean"], shape).numpy()
    )
    assert flips.reshape(SAMPLES, -1).sum(1).max() == 5
    assert record.clean.correct < SAMPLES - 10  # other draws than those that made the labels
    assert "example/eps/input/clean" in samples


def test_a_second_draw_shows_what_chance_changes(spiking, tmp_path, drive):
    classifier = spiking("poisson")
    record = evaluate(
        classifier,
        dataset(classifier),
        Request([FAST, "random", "spike-topk", "spike-random"], {"eps": ["0.05"], "flips": ["20"]}),
        card=card("poisson"),
        out=tmp_path,
    )
    samples = load_samples(tmp_path)
    label, right = samples["label"], samples["predicted/clean"] == samples["label"]
    fallen = right & (samples["predicted/redraw"] != label)
    assert fallen.sum() > 0
    assert (record.redraw.correct, record.redraw.total) == (fallen.sum(), right.sum())
    # flips start from the spikes of one draw: nothing is drawn there
    standing = right.copy()
    for name in ("spike-topk", "spike-random"):
        standing &= samples[f"predicted/flips=20/{name}"] == label
    assert record.robust["flips"]["20"].correct == standing.sum()
    assert evaluate(drive, dataset(drive, 20), Request(), card=card()).redraw is None


def test_controls_alone_are_the_worst_case_of_a_random_encoder(spiking):
    classifier = spiking("poisson")
    record = evaluate(
        classifier, dataset(classifier), Request(["random"], {"eps": ["0.1"]}), card=card("poisson")
    )
    robust = record.robust["eps"]["0.1"]
    assert robust.correct == robust.by_attack["random"].correct <= record.clean.correct


def test_spike_data_are_attacked_as_they_are(spiking):
    classifier = spiking("direct")
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(70, 16, 1, 1, 12, generator=generator) < 0.3).to(torch.uint8)
    data = Dataset("events", "test", x, classifier.predict(x), 4)
    record = evaluate(
        classifier,
        data,
        Request(["spike-topk", "spike-random"], {"flips": ["0", "10"]}),
        card=card("direct"),
    )
    assert record.robust["flips"]["0"].correct == record.clean.correct == 70
    rates = record.robust["flips"]["10"].by_attack
    assert rates["spike-topk"].correct < rates["spike-random"].correct


# --- what is refused before any work


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attacks": ["random"]}, "attack 'random': needs a budget, give --eps 0.1"),
        ({"attacks": ["spike-topk"]}, "attack 'spike-topk': needs a budget, give --flips 10"),
        (
            {"budgets": {"eps": ["0.1"]}},
            "--eps 0.1: no attack on images was asked for",
        ),
        (
            {
                "budgets": {"flips": ["1"], "eps": ["0"]},
                "attacks": ["random"],
            },
            "--flips 1: no attack on spikes",
        ),
        (
            {"attacks": ["cw"], "budgets": {"eps": ["0.1"]}},
            "attack 'cw': unknown, known: standard",
        ),
        ({"attacks": ["random"] * 2, "budgets": {"eps": ["0.1"]}}, "attack 'random': given twice"),
        ({"attacks": ["random"], "budgets": {"eps": ["0.1", "0.10"]}}, "eps '0.10': given twice"),
        ({"attacks": ["random"], "budgets": {"eps": ["-1"]}}, "eps '-1': outside"),
        (
            {"attacks": ["sa-pgd", "pgd-linf"], "budgets": {"eps": ["0.05", "l2:0.5"]}},
            "attack 'pgd-linf': eps 'l2:0.5' is of norm l2, it takes linf; evaluate that budget",
        ),
        (
            {"attacks": ["spike-topk"], "budgets": {"flips": ["3+channel=16"]}},
            "flips '3\\+channel=16': channel beyond the input, which has 16 channels",
        ),
        (
            {"attacks": ["spike-topk"], "budgets": {"flips": ["3+rows=0:2"]}},
            "flips '3\\+rows=0:2': rows beyond the input, which has 1 rows",
        ),
        (
            {"attacks": ["square"], "budgets": {"eps": ["l2:0.5"]}},
            "square: images of 4 x 4, l2 needs 5 x 5",
        ),
        (
            {"attacks": ["spike-topk"], "budgets": {"flips": ["193"]}},
            "flips '193': above 192, the entries",
        ),
    ],
)
def test_contradictions_are_refused_before_any_work(drive, tmp_path, settings, message: str):
    with pytest.raises(BadInput, match=message):
        evaluate(drive, dataset(drive, 10), Request(**settings), card=card(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Blind(InProcess):
    """The engine without its gradients."""

    name = "blind"
    about, query_batch = "a double for tests", 64

    def __init__(self, backend) -> None:
        self.model, self.run = backend.model, backend.run


def test_white_box_attacks_need_gradients(drive):
    blind = replace(drive, backend=Blind(drive.backend))
    with pytest.raises(BadInput, match="attack 'pgd-linf': backend blind has no gradients"):
        evaluate(blind, dataset(blind, 5), Request(["pgd-linf"], {"eps": ["0.1"]}), card=card())
    record = evaluate(blind, dataset(blind, 5), Request(["random"], {"eps": ["0.1"]}), card=card())
    assert (record.backend, record.target) == ("blind", "a double for tests")


def with_nan(samples: int, at: int) -> torch.Tensor:
    x = torch.zeros(samples, 1, 4, 4)
    x[at, 0, 2, 3] = torch.nan
    return x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(0, 1, 4, 4), "y": torch.zeros(0).long()}, "toy: 0 samples"),
        ({"y": torch.full((20,), 4)}, "toy: label 4, the network has 4 outputs"),
        (
            {"x": torch.zeros(20, 16, 1, 1, 3, dtype=torch.uint8)},
            "toy: holds spikes, encoder drive",
        ),
        ({"y": torch.full((20,), -1)}, "toy: label -1, the network has 4 outputs"),
        ({"x": torch.full((20, 1, 4, 4), torch.nan)}, "toy: drive: sample 0 holds NaN"),
        ({"x": with_nan(20, at=17)}, "toy: drive: sample 17 holds NaN"),
        ({"x": with_nan(300, at=299), "y": torch.zeros(300).long()}, "sample 299 holds NaN"),
        ({"x": torch.zeros(20, 1, 5, 4)}, "do not fit the network's input"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_any_work(drive, tmp_path, change, message: str):
    data = replace(dataset(drive, 20), **change)
    with pytest.raises(BadInput, match=message) as caught:
        evaluate(drive, data, Request(), card=card(), out=tmp_path / "run")
    assert isinstance(caught.value, DatasetError | BadInput)
    assert not (tmp_path / "run").exists()


def test_spikes_of_another_length_than_the_card_says_are_refused(spiking, tmp_path):
    classifier = spiking("direct")
    x = torch.zeros(3, 16, 1, 1, 9, dtype=torch.uint8)
    data = Dataset("events", "test", x, torch.zeros(3).long(), 4)
    with pytest.raises(DatasetError, match="events: 9 time steps, the card says 12 steps"):
        evaluate(classifier, data, Request(), card=card("direct"), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_needs_more_classes_is_refused_before_any_work(tmp_path):
    model = NetxModel(
        (16, 1, 1), (DenseLayer(0, (3, 1, 1), None, np.ones((3, 16), np.int64)),), sha256="0" * 64
    )
    classifier = Classifier(
        LatencyEncoder((16, 1, 1), 12), EngineBackend(model), Readout("membrane", 1.0)
    )
    data = Dataset("toy", "test", torch.rand(4, 1, 4, 4), torch.zeros(4).long(), 3)
    with pytest.raises(BadInput, match="apgd-t: the loss needs 4 classes, the network has 3"):
        evaluate(
            classifier,
            data,
            Request(["apgd-t"], {"eps": ["0.1"]}),
            card=card("latency"),
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_validation_samples_are_checked_before_any_work(drive, tmp_path):
    validation = replace(dataset(drive, 20), x=with_nan(20, at=3), name="other")
    with pytest.raises(BadInput, match="other: drive: sample 3 holds NaN"):
        evaluate(
            drive,
            dataset(drive, 20),
            Request(),
            card=card(),
            validation=validation,
            out=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused_and_left_alone(drive, tmp_path):
    refused: list[str] = []

    def elsewhere() -> None:
        for flags in ({"resume": True}, {"overwrite": True}, {}):
            with pytest.raises(OutputError, match="in use by this process") as caught:
                evaluate(drive, dataset(drive, 10), Request(), card=card(), out=tmp_path, **flags)
            refused.append(str(caught.value))

    def meanwhile(done: int, total: int, what: str) -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()

    record = evaluate(
        drive, dataset(drive, 10), Request(), card=card(), out=tmp_path, progress=meanwhile
    )
    assert len(refused) == 3
    assert read_record(tmp_path) == record


def test_overwriting_removes_the_old_report_before_any_work(drive, tmp_path):
    settings = {"card": card(), "request": Request(), "out": tmp_path}
    evaluate(drive, dataset(drive, 5, 0), **settings)
    (tmp_path / "report.html").write_text("of the old record")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(drive, dataset(drive, 6, 0), **settings, overwrite=True, progress=stop)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["settings.json", "shards"]


def test_a_record_says_what_is_pending(drive, tmp_path):
    settings = {"card": card(), "request": Request(), "out": tmp_path}
    record = evaluate(drive, dataset(drive, 5, 0), **settings, pending=("confirmation", "flags"))
    assert record.pending == ("confirmation", "flags")
    assert read_record(tmp_path) == record
    assert evaluate(drive, dataset(drive, 5, 0), Request(), card=card()).pending == ()


def test_settings_are_readable(finished):
    settings = json.loads((finished[2] / "settings.json").read_text())
    assert settings["shard"] == 64
    assert len(settings["data"]) == 64
