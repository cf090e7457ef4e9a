from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from neurorobust.assess.assess import Setup, assess
from neurorobust.backends.registry import BACKENDS
from neurorobust.classifier import Network
from neurorobust.datasets.base import Dataset
from neurorobust.errors import BadInput, UnavailableError
from neurorobust.evaluation import Confirm, Request, load_samples, read_record
from neurorobust.records import Card, EncoderCard
from neurorobust.report import write_report

CARD = Card(encoder=EncoderCard(kind="drive", mean=0.5, std=0.5), steps=12, readout="count")


def setting(spiking) -> tuple[Network, Dataset, Request, Setup]:
    """A deployed network, data it gets right, and everything asked of it at once."""
    classifier = spiking()
    x = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    data = Dataset("toy", "test", x, classifier.predict(x), 4)
    request = Request(
        attacks=("random", "pgd-linf"),
        budgets={"eps": ("0.05",)},
        confirm=Confirm("reference", 6),
        compare_with="pgd-linf",
    )
    setup = Setup(against=spiking(seed=1))
    return Network("toy", classifier.backend.model, CARD), data, request, setup


def timeless(record) -> dict:
    plain = record.model_dump()
    plain.pop("provenance")
    for rate in plain["robust"]["eps"]["0.05"]["by_attack"].values():
        rate.pop("seconds")
    plain["confirmed"].pop("seconds")
    return plain


@pytest.mark.parametrize(
    ("moment", "nth"), [("replaying in reference", 1), ("eps=0.05/pgd-linf", 2)]
)
def test_an_interrupt_after_the_attacks_leaves_an_unfinished_record(
    spiking, tmp_path, moment: str, nth: int
):
    network, data, request, setup = setting(spiking)
    seen = []

    def stop(done: int, total: int, what: str) -> None:
        seen.append(what)
        if seen.count(moment) == nth:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assess(network, data, request, tmp_path / "a", setup, progress=stop)
    left = read_record(tmp_path / "a")
    assert left.pending == ("confirmation", "comparison", "flags")
    assert (left.confirmed, left.comparison, left.flags) == (None, (), ())
    with pytest.raises(BadInput, match="unfinished: confirmation, comparison and flags still"):
        write_report(tmp_path / "a")
    resumed = assess(network, data, request, tmp_path / "a", setup, resume=True)
    assert resumed.pending == ()
    assert resumed.confirmed.holds
    assert (tmp_path / "a" / "report.html").is_file()
    assert read_record(tmp_path / "a") == resumed
    whole = assess(network, data, request, tmp_path / "b", setup)
    assert whole.request["confirm"] == {"backend": "reference", "samples": 6}
    assert whole.request["compare_with"] == "pgd-linf"
    assert timeless(whole) == timeless(resumed)
    bare = replace(request, confirm=None, compare_with=None)
    told = assess(network, data, bare, tmp_path / "b", replace(setup, against=None), resume=True)
    assert told.request == whole.request  # what was done was asked, whoever looks at it again
    assert told.confirmed == whole.confirmed


@pytest.mark.parametrize("stored", [True, False])
def test_the_two_by_two_agrees_with_the_record(spiking, tmp_path, stored: bool):
    """Float gets everything right here: the restriction to both changes nothing."""
    network, data, request, _ = setting(spiking)
    same = replace(request, seed=7, confirm=None)
    record = assess(network, data, same, tmp_path if stored else None, Setup(against=spiking()))
    (comparison,) = record.comparison
    cells = {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}
    success = record.robust["eps"]["0.05"].by_attack["pgd-linf"].success
    assert 0 < success.correct < success.total
    assert cells["deployed", "deployed"] == success
    assert record.pending == ()
    assert stored == bool((tmp_path / "samples.npz").exists() and load_samples(tmp_path))


@pytest.mark.parametrize("attacks", [(), ("pgd-linf",)])
def test_what_cannot_be_confirmed_is_refused_before_any_work(
    spiking, tmp_path, monkeypatch, attacks: tuple[str, ...]
):
    """No attack to replay, or no target to replay it on."""

    def missing(model, settings):
        raise UnavailableError("lava: not installed here")

    monkeypatch.setitem(BACKENDS, "lava", replace(BACKENDS["lava"], make=missing))
    network, data, *_ = setting(spiking)
    asked = Request(
        attacks=attacks, budgets={"eps": ("0.05",) * len(attacks)}, confirm=Confirm("lava", 2)
    )
    message = "lava: not installed" if attacks else "confirm lava:2: no attack was asked for"
    with pytest.raises(BadInput, match=message):
        assess(network, data, asked, tmp_path / "run", progress=lambda *_: pytest.fail("worked"))
    assert not (tmp_path / "run").exists()


class Broken:
    """Proposes nothing that can be scored."""

    name, kind, access, control = "broken", "eps", "none", False

    def __call__(self, classifier, x, labels, budget, generator):
        return None


def test_where_every_attack_failed_the_record_is_whole_and_says_so(spiking, tmp_path):
    network, data, *_ = setting(spiking)
    asked = Request(
        attacks=(Broken(),),
        budgets={"eps": ("0.05",)},
        confirm=Confirm("reference", 2),
        control=False,
    )
    record = assess(network, data, asked, tmp_path)
    assert record.pending == ()
    assert record.confirmed.replayed == 0
    assert not record.confirmed.holds
    assert "confirm reference: 0 of 0 identical; first difference: nothing to replay" in str(
        record.flags
    )
    assert (tmp_path / "report.html").is_file()


def test_a_comparison_that_cannot_be_made_is_refused_before_any_work(spiking, tmp_path):
    network, data, *_ = setting(spiking)
    asked, setup = Request(compare_with="pgd-linf"), Setup(against=spiking())
    with pytest.raises(BadInput, match=r"attack 'pgd-linf': needs a budget, give --eps 0.1"):
        assess(network, data, asked, tmp_path / "run", setup)
    for request, without in ((Request(), setup), (asked, Setup())):
        with pytest.raises(BadInput, match="compare_with: needs the float network `against`"):
            assess(network, data, request, tmp_path / "run", without)
    assert not (tmp_path / "run").exists()
