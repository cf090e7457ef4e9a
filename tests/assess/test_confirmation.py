from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.assess.confirm import choose, confirm, require_identical
from neurorobust.attacks import ATTACKS
from neurorobust.backends.base import InProcess
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput, CheckFailed
from neurorobust.evaluation import Request, evaluate, load_samples
from neurorobust.records import Card, EncoderCard

FAST = replace(ATTACKS["pgd-linf"], steps=4, draws=2)


class Echo(InProcess):
    """The engine under another name, which may lie about one spike and counts samples."""

    name = "echo"
    about, query_batch = "a double for tests", 64

    def __init__(self, backend, lie=None) -> None:
        self.backend, self.model, self.lie, self.seen = backend, backend.model, lie, 0

    def run(self, inputs, record=(), clock="aligned"):
        run = self.backend.run(inputs, record)
        self.seen += len(inputs)
        return run if self.lie is None else self.lie(run)


def evaluated(classifier, kind: str, out):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(70, 1, 4, 4, generator=generator)
    if kind == "direct":
        x = (torch.rand(70, 16, 1, 1, 12, generator=generator) < 0.3).to(torch.uint8)
    data = Dataset("toy", "test", x, classifier.predict(x, generator), 4)
    images = kind != "direct"
    record = evaluate(
        classifier,
        data,
        Request(
            ["spike-topk", *([FAST, "random"] if images else [])],
            {"eps": ["0.05", "0.1"] if images else [], "flips": ["8"]},
        ),
        card=Card(encoder=EncoderCard(kind=kind, mean=0.0, std=1.0), steps=12, readout="count"),
        out=out,
    )
    return record, load_samples(out)


@pytest.fixture(scope="module", params=["drive", "poisson", "direct"])
def case(request, spiking, tmp_path_factory):
    classifier = spiking(request.param)
    return classifier, *evaluated(classifier, request.param, tmp_path_factory.mktemp("c") / "run")


def test_the_same_integers_are_identical(case):
    classifier, record, samples = case
    echo = Echo(classifier.backend)
    done = confirm(record, samples, classifier, echo, 40)
    assert (done.backend, done.requested, done.replayed, done.identical) == ("echo", 40, 40, 40)
    assert done.first_difference is None
    assert echo.seen == 40
    require_identical(done)


def test_successes_come_first_and_in_turn_over_budgets(case):
    _, record, samples = case
    everything = choose(record, samples, 10**6)
    broken = [item.broken for item in everything]
    assert 0 < sum(broken) < len(broken)
    assert broken == sorted(broken, reverse=True)
    assert len({(item.key, item.attack, item.index) for item in everything}) == len(everything)
    rates = [rate for kind in record.robust.values() for rate in kind.values()]
    names = sum(len(rate.by_attack) for rate in rates)
    assert len(everything) == 70 * names
    few = choose(record, samples, 6)
    assert few == everything[:6]
    groups = {(i.key, i.attack) for i in everything if i.broken}
    assert len({(i.key, i.attack) for i in few}) == min(6, len(groups))


def test_progress_is_told_while_replaying(case):
    classifier, record, samples = case
    told = []
    confirm(
        record, samples, classifier, Echo(classifier.backend), 10,
        progress=lambda *what: told.append(what),
    )  # fmt: skip
    assert (told[0], told[-1]) == ((0, 10, "replaying in echo"), (10, 10, "replaying in echo"))
    assert len(told) >= 4
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})


def _first_replayed(cases):
    """Images go first, then spikes."""
    return min(cases, key=lambda item: item.key.startswith("flips"))


def test_one_wrong_spike_is_found_and_placed(case):
    classifier, record, samples = case

    def lie(run):
        spikes = run.spikes.clone()
        spikes[0, 2, 5] = 1 - spikes[0, 2, 5]
        return replace(run, spikes=spikes)

    done = confirm(record, samples, classifier, Echo(classifier.backend, lie), 8)
    assert done.identical < done.replayed == 8
    first = _first_replayed(choose(record, samples, 8))
    assert done.first_difference.startswith(f"{first}: output neuron 2, step 5: ")
    assert done.first_difference.endswith("(echo)")
    with pytest.raises(
        CheckFailed, match=r"confirm echo: \d of 8 identical; first difference: sample"
    ):
        require_identical(done)


def test_the_membrane_counts_where_it_is_read(spiking, tmp_path):
    def lie(run):
        return replace(run, membrane=run.membrane + torch.tensor([0, 0, 0, 1]))

    for readout in ("count", "membrane"):
        classifier = spiking("drive", readout=readout)
        record, samples = evaluated(classifier, "drive", tmp_path / readout)
        done = confirm(record, samples, classifier, Echo(classifier.backend, lie), 5)
        if readout == "count":
            assert done.identical == 5
        else:
            assert done.identical == 0
            assert ": output neuron 3, membrane: " in done.first_difference


def test_another_network_than_the_evaluated_one_is_found_out(spiking, tmp_path):
    classifier, other = spiking("drive"), spiking("drive", seed=1)
    record, samples = evaluated(classifier, "drive", tmp_path)
    done = confirm(record, samples, other, Echo(other.backend), 40)
    assert done.identical < 40
    assert "engine now says" in done.first_difference


def test_drive_is_replayed_as_drive(spiking, tmp_path):
    classifier = spiking("drive")
    record, samples = evaluated(classifier, "drive", tmp_path)
    kinds = []

    class Watching(Echo):
        def run(self, inputs, record=(), clock="aligned"):
            kinds.append(inputs.kind)
            return super().run(inputs, record)

    confirm(record, samples, classifier, Watching(classifier.backend), 9)
    assert set(kinds) == {"drive", "spikes"}


def test_nothing_to_replay_is_refused(case):
    classifier, record, samples = case
    with pytest.raises(BadInput, match="confirm: 0 samples, need at least 1"):
        confirm(record, samples, classifier, classifier.backend, 0)
    empty = record.model_copy(update={"robust": {}})
    with pytest.raises(BadInput, match="nothing to replay, the record holds no attack"):
        confirm(empty, samples, classifier, classifier.backend, 3)
