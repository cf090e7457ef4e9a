"""What came of a fault is a record: with its origin, resumed where it was, shown on a page."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neurorobust as nr
from neurorobust.errors import BadInput, DatasetError, OutputError
from neurorobust.faults.bits_request import BitsRequest
from neurorobust.faults.examine import examine
from neurorobust.faults.inputs_request import InputsRequest
from neurorobust.faults.leak_request import LeakRequest
from neurorobust.faults.record import RECORDS, FaultRecord, read_fault
from neurorobust.faults.request import FaultRequest
from neurorobust.report.sheets import SHEETS
from neurorobust.support.files import read_npz
from neurorobust.support.lock import locked

SAMPLES = 60  # two parts of `inputs`
REQUESTS: dict[str, tuple[FaultRequest, int]] = {  # and pieces done before it is interrupted
    "bits": (BitsRequest((1, 3), candidates=2, repeats=2, mode="rotation"), 2),
    "leak": (LeakRequest(2), 9),
    "inputs": (InputsRequest("energy", "eps", "0.1", rounds=2), 1),
}


@pytest.fixture(scope="module")
def asked():
    data = nr.datasets.load("digits", limit=SAMPLES + 6)
    with nr.load("digits-mlp").open() as classifier:
        yield classifier, nr.datasets.of(data[:SAMPLES]), nr.datasets.of(data[SAMPLES:])


def timeless(record: FaultRecord) -> dict[str, Any]:
    return record.model_dump(exclude={"provenance"})


def stopped(after: int):
    """Ctrl-C after so many pieces of the work."""

    def progress(done: int, total: int, what: str) -> None:
        if done == after:
            raise KeyboardInterrupt

    return progress


def test_every_fault_has_a_record_a_table_and_a_case_here():
    assert set(RECORDS) == set(SHEETS) == set(REQUESTS)


@pytest.mark.parametrize("fault", REQUESTS)
def test_an_interrupted_fault_goes_on_where_it_was(asked, tmp_path: Path, fault: str):
    request, after = REQUESTS[fault]
    whole = examine(request, *asked, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt, match=rf"{after} of \d+ pieces are kept"):
        examine(request, *asked, out=tmp_path / "cut", progress=stopped(after))
    told: list[tuple[int, int, str]] = []
    again = examine(
        request, *asked, out=tmp_path / "cut", resume=True, progress=lambda *one: told.append(one)
    )
    assert told[0][0] == after
    assert told[0][2] == "resumed"
    assert told[-1][0] == told[-1][1]
    assert timeless(again) == timeless(whole)
    first, second = (read_npz(tmp_path / name / "samples.npz") for name in ("whole", "cut"))
    assert first.keys() == second.keys() > {"label"}
    for name, array in first.items():
        assert array.dtype == second[name].dtype
        assert len(array) == SAMPLES
        assert np.array_equal(array, second[name]), name
    assert not (tmp_path / "cut/shards").exists()


def test_a_record_says_what_was_asked_of_which_file_and_data(asked, tmp_path: Path):
    classifier, data, known = asked
    examine(LeakRequest(0, seed=4), *asked, out=tmp_path, command="neurorobust faults leak")
    record = read_fault(tmp_path)
    assert record.fault == "leak"
    assert record.sha256 == classifier.backend.model.sha256
    assert (record.samples, record.data, record.seed) == (SAMPLES, data.digest(), 4)
    assert (record.known, record.known_data) == (6, known.digest())
    assert record.provenance.command == "neurorobust faults leak"
    assert {"torch", "numpy"} <= record.provenance.versions.keys()
    assert [row.regime for row in record.rows] == ["none", "staggered", "at-once"]


def test_a_folder_that_is_taken_in_use_or_asked_otherwise_is_refused(asked, tmp_path: Path):
    request = InputsRequest("energy", "eps", "0.1", rounds=1)
    examine(request, *asked, out=tmp_path)
    with pytest.raises(OutputError, match="already holds a result; --resume or --overwrite"):
        examine(request, *asked, out=tmp_path)
    other = InputsRequest("energy", "eps", "0.1", rounds=2)
    with pytest.raises(OutputError, match=r"other settings: request\.rounds was 1, now 2"):
        examine(other, *asked, out=tmp_path, resume=True)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path):
            held.set()
            done.wait(60)

    other_user = threading.Thread(target=hold)
    other_user.start()
    try:
        assert held.wait(60)
        with pytest.raises(OutputError, match="in use by this process"):
            examine(request, *asked, out=tmp_path, overwrite=True)
    finally:
        done.set()
        other_user.join()
    assert timeless(examine(request, *asked, out=tmp_path, resume=True))["rounds"] == 1


def test_networks_of_an_earlier_run_go_and_a_file_of_yours_stays(asked, tmp_path: Path):
    bits = BitsRequest((1, 2), candidates=1, repeats=1)
    examine(bits, *asked, out=tmp_path)
    assert {path.name for path in tmp_path.glob("*.net")} == {"1.net", "2.net"}
    (tmp_path / "7.net").write_text("mine")
    fewer = BitsRequest((1,), candidates=1, repeats=1)
    examine(fewer, *asked, out=tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.glob("*.net")} == {"1.net", "7.net"}
    with pytest.raises(
        OutputError, match=r"7\.net: not written by faults as it is, and never replaced"
    ):
        examine(BitsRequest((7,)), *asked, out=tmp_path, overwrite=True)
    assert (tmp_path / "7.net").read_text() == "mine"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (BitsRequest(()), "no number of bits given"),
        (BitsRequest((3, 0)), "weight bits: 0 below 1"),
        (BitsRequest(mode="magic"), "backward mode 'magic': unknown"),
        (LeakRequest(-1), "-1 rounds, need 0 or more"),
        (InputsRequest("magic", "eps", "0.1"), "objective 'magic': unknown"),
        (InputsRequest("energy", "shifts", "reach=2"), "takes eps or flips, given shifts"),
        (InputsRequest("energy", "eps", "a lot"), "eps 'a lot': not a number"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(asked, request_, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        examine(request_, *asked, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_backend_and_an_adversary_without_samples_are_refused(asked):
    classifier, data, known = asked
    with (
        classifier.network.open("reference") as slow,
        pytest.raises(BadInput, match="faults: needs the engine, not reference"),
    ):
        examine(LeakRequest(), slow, data, known)
    with pytest.raises(BadInput, match="no samples for the adversary to learn from"):
        examine(LeakRequest(), classifier, data, None)


@pytest.mark.parametrize("fault", REQUESTS)
def test_a_result_prints_shows_and_is_read_again(asked, tmp_path: Path, fault: str):
    request, _ = REQUESTS[fault]
    examine(request, *asked, out=tmp_path)
    result = nr.read_result(tmp_path)
    assert isinstance(result, nr.FaultResult)
    text = str(result)
    assert max(map(len, text.splitlines())) <= 80
    shown = SHEETS[fault](result.record)
    assert {len(row) for row in shown.rows} == {len(shown.heads)}
    page = result.report().read_text()
    assert result.record.sha256 in page
    assert shown.title in page
    for cell in (cell for row in shown.rows for cell in row):
        assert cell in page
    assert result._repr_html_().startswith("<pre>")


def test_a_record_of_no_known_fault_is_refused(tmp_path: Path):
    (tmp_path / "record.json").write_text('{"version": 1, "fault": "magic"}')
    with pytest.raises(BadInput, match="fault 'magic': unknown, known: bits, leak, inputs"):
        nr.read_result(tmp_path)
    (tmp_path / "record.json").write_text('{"version": 1, "fault": "leak"}')
    with pytest.raises(BadInput, match=r"record\.json"):
        nr.read_result(tmp_path)


BITS = REQUESTS["bits"][0]


def test_a_network_that_was_changed_since_is_yours_and_stays(asked, tmp_path: Path):
    examine(BITS, *asked, out=tmp_path)
    (tmp_path / "3.net").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"3\.net: not written by faults as it is"):
        examine(BITS, *asked, out=tmp_path, overwrite=True)
    examine(BitsRequest((1,), candidates=2, repeats=2), *asked, out=tmp_path, overwrite=True)
    assert (tmp_path / "3.net").read_bytes() == b"mine"


def test_a_folder_in_the_place_of_a_network_is_refused_before_anything_goes(asked, tmp_path: Path):
    before = examine(BITS, *asked, out=tmp_path)
    (tmp_path / "3.net").unlink()
    (tmp_path / "3.net").mkdir()
    with pytest.raises(OutputError, match=r"3\.net: not written by faults as it is"):
        examine(BITS, *asked, out=tmp_path, overwrite=True)
    assert read_fault(tmp_path) == before


def test_the_network_that_is_asked_about_is_never_removed(asked, tmp_path: Path):
    examine(BITS, *asked, out=tmp_path)
    flipped = nr.models.locate_model(str(tmp_path / "1.net"))
    network = nr.Network(
        "flipped", flipped, asked[0].network.card.model_copy(update={"sha256": None})
    )
    with (
        network.open() as classifier,
        pytest.raises(OutputError, match="holds the network that is asked about"),
    ):
        examine(BITS, classifier, *asked[1:], out=tmp_path, overwrite=True)
    assert (tmp_path / "1.net").is_file()


@pytest.mark.parametrize("name", ["record.json", "samples.npz"])
def test_a_finished_result_that_was_changed_is_not_believed(asked, tmp_path: Path, name: str):
    whole = examine(BITS, *asked, out=tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content.replace(b'"seed": 0', b'"seed": 9') + b"\n")
    with pytest.raises(OutputError, match=rf"{name}: not as it was written"):
        examine(BITS, *asked, out=tmp_path, resume=True)
    again = examine(BITS, *asked, out=tmp_path, overwrite=True)
    assert timeless(again) == timeless(whole)


def test_a_strangers_checksums_are_not_replaced(asked, tmp_path: Path):
    (tmp_path / "checksums.json").write_text("[1, 2]")
    with pytest.raises(OutputError, match=r"checksums\.json: not written by faults"):
        examine(BITS, *asked, out=tmp_path)
    assert (tmp_path / "checksums.json").read_text() == "[1, 2]"


@pytest.mark.parametrize("fault", ["bits", "leak"])
def test_an_adversary_learns_from_others_than_are_scored(asked, tmp_path: Path, fault: str):
    classifier, data, _ = asked
    with pytest.raises(DatasetError, match="all 20 samples to learn from are among the 60"):
        examine(REQUESTS[fault][0], classifier, data, data.limited(20), out=tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
