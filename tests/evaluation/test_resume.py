"""What an interrupted evaluation keeps, what it believes of it, and what it never removes."""

from __future__ import annotations

import gc
import resource
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurorobust.attacks import ATTACKS
from neurorobust.attacks.events.gradient_flips import SpikeRandom, SpikeTopK
from neurorobust.attacks.images.noise import UniformNoise
from neurorobust.attacks.recipes import STANDARD_1, Member, Recipe
from neurorobust.datasets.base import Dataset
from neurorobust.errors import OutputError
from neurorobust.evaluation import Request, evaluate
from neurorobust.evaluation.draws import Scored
from neurorobust.evaluation.kept import Count, Kept, judgement, restored, stored
from neurorobust.evaluation.trial import Trial
from neurorobust.records import Card, EncoderCard

CARD = Card(encoder=EncoderCard(kind="drive", mean=0.0, std=1.0), steps=12, readout="count")
FAST = replace(ATTACKS["pgd-linf"], steps=2, draws=1)
TOY = Recipe(
    name="toy-1",
    members=(
        Member(UniformNoise()),
        Member(replace(FAST, name="weak", steps=2), "fast-sigmoid-0.25"),
        Member(replace(FAST, name="strong"), "every"),
        Member(SpikeRandom()),
        Member(SpikeTopK(rounds=2)),
    ),
    modes=("fast-sigmoid-0.25", "rga"),
    choosers=(FAST,),
    probes=(FAST,),
    widths=STANDARD_1.widths,
    targeted=(FAST, SpikeTopK(rounds=2)),
)
BUDGETS = {"eps": ["0.1", "0.04"], "flips": ["6"]}
ASKED = {"card": CARD, "request": Request([TOY], BUDGETS, minimum=True, targeted=True)}
JOBS = 1 + (2 * 4 + 2) + 2 + 3  # clean; attacks and a control at each budget; kinds; targeted
SAMPLES = 66  # two shards, the last one short


@pytest.fixture(scope="module")
def drive(spiking):
    return spiking("drive")


def dataset(classifier, samples: int = SAMPLES) -> Dataset:
    x = torch.rand(samples, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = classifier.predict(x, torch.Generator().manual_seed(0))
    y[:5] = (y[:5] + 1) % 4
    return Dataset("toy", "test", x, y, 4)


def timeless(value: Any) -> Any:
    """Everything of a record but times, and where and how it was computed."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k not in ("seconds", "provenance")}
    return [timeless(part) for part in value] if isinstance(value, list) else value


def results(out: Path, record) -> tuple[Any, bytes]:
    return timeless(record.model_dump(mode="json")), (out / "samples.npz").read_bytes()


@pytest.fixture(scope="module")
def whole(drive, tmp_path_factory):
    """The same asked without an interruption: what `results` gives of it."""
    out = tmp_path_factory.mktemp("whole")
    return results(out, evaluate(drive, dataset(drive), **ASKED, out=out))


def interrupted(drive, out: Path, jobs: int) -> str:
    """Stop after so many jobs; what the interruption says."""

    def stop(done: int, total: int, what: str) -> None:
        if done == jobs and total > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        evaluate(drive, dataset(drive), **ASKED, out=out, progress=stop)
    assert not (out / "record.json").exists()
    return str(stopped.value)


def resumed(drive, out: Path) -> tuple[Any, list[tuple[int, int, str]]]:
    """Go on; the record, and what progress was told of shards."""
    told: list[tuple[int, int, str]] = []
    record = evaluate(
        drive, dataset(drive), **ASKED, out=out, resume=True, progress=lambda *at: told.append(at)
    )
    return record, [at for at in told if at[1] > 1]


# --- what is kept


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        (6, f"6 of {JOBS} jobs of shard 1 of 2 are kept"),
        (JOBS - 2, f"{JOBS - 2} of {JOBS} jobs of shard 1 of 2 are kept"),
        (2 * JOBS - 4, f"1 of 2 shards and {JOBS - 4} of {JOBS} jobs of shard 2 of 2 are kept"),
    ],
)
def test_all_but_the_job_under_way_is_kept(drive, tmp_path, whole, jobs: int, said: str):
    assert interrupted(drive, tmp_path, jobs) == said
    record, told = resumed(drive, tmp_path)
    assert told[0] == (jobs, 2 * JOBS, "resumed")
    assert [done for done, _, _ in told[1:]] == list(range(jobs + 1, 2 * JOBS + 1))
    assert results(tmp_path, record) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "record.json",
        "samples.npz",
        "settings.json",
    ]


def test_what_a_random_encoder_drew_is_kept(spiking, tmp_path):
    classifier = spiking("poisson")
    asked = {
        "card": CARD.model_copy(update={"encoder": EncoderCard(kind="poisson")}),
        "request": Request([replace(TOY, targeted=())], {"eps": ["0.1"]}),
    }
    data = dataset(classifier)
    record = evaluate(classifier, data, **asked, out=tmp_path / "whole")

    def stop(done: int, total: int, what: str) -> None:
        if done == 4 and total > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="4 of 5 jobs"):
        evaluate(classifier, data, **asked, out=tmp_path / "stopped", progress=stop)
    again = evaluate(classifier, data, **asked, out=tmp_path / "stopped", resume=True)
    assert results(tmp_path / "stopped", again) == results(tmp_path / "whole", record)


def test_a_job_is_taken_only_for_the_samples_it_received(tmp_path):
    done: list[float] = []

    def asked(x: float, answers: str = "settings") -> float:
        def work() -> dict[str, Any]:
            done.append(x)
            return {"value": np.asarray(2 * x)}

        kept = Kept(tmp_path, answers, Count(1, None))
        return float(kept.arrays("job", (torch.tensor([x]),), work)["value"])

    assert [asked(1.0), asked(1.0)] == [2.0, 2.0]
    assert done == [1.0]
    assert asked(3.0) == 6.0
    assert asked(3.0, "other settings") == 6.0
    assert asked(3.0, "settings") == 6.0
    assert done == [1.0, 3.0, 3.0, 3.0]


@pytest.mark.parametrize("drawn", [None, torch.ones(3, 1, 1, 2, 5, dtype=torch.uint8)])
def test_an_attempt_comes_back_as_it_was(drawn):
    scored = Scored(
        predicted=torch.tensor([1, 2, 3]),
        again=torch.tensor([1, 0, 3]),
        selecting=torch.tensor([1.0, 0.3, 0.0], dtype=torch.float64),
        scoring=torch.tensor([0.9, 0.2, 0.1], dtype=torch.float64),
        drawn=drawn,
    )
    made = Trial(
        adversarial=torch.rand(3, 1, 2, 2),
        scored=scored,
        failed=torch.tensor([True, False, False]),
        outside=torch.tensor([False, True, False]),
        unconfirmed=torch.zeros(3, dtype=torch.bool),
        unchanged=torch.tensor([False, False, True]),
        seconds=0.25,
        queries=17,
    )
    found = restored(stored(made))
    for before, after in (
        (made, found),
        (scored, found.scored),
        (scored, judgement(stored(scored))),
    ):
        for name, value in vars(before).items():
            back = getattr(after, name)
            if isinstance(value, torch.Tensor):
                assert back.dtype == value.dtype
                assert torch.equal(back, value)
            elif name != "scored":
                assert (type(back), back) == (type(value), value)


# --- damage


def arrays_of(path: Path) -> dict[str, Any]:
    with np.load(path) as archive:
        return dict(archive)


def rewritten(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], None]:
    """A good npz with other contents, the old file's seal included."""

    def damage(path: Path) -> None:
        seal = path.read_bytes()[-64:]
        np.savez(path, **change(arrays_of(path)))
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = seal

    return damage


def header(offset: int, value: bytes) -> Callable[[Path], None]:
    """Other bytes in every local and central header of the zip."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        for signature, further in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            at = content.find(signature)
            assert at >= 0
            while at >= 0:
                content[at + offset + further : at + offset + further + len(value)] = value
                at = content.find(signature, at + 4)
        path.write_bytes(bytes(content))

    return damage


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "no zip": lambda path: path.write_bytes(b"PK no archive"),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "one bit": flipped,
    "compression method 99": header(8, b"\x63\x00"),
    "encrypted": header(6, b"\x01\x00"),
    "no arrays": rewritten(lambda arrays: {}),
    "an array missing": rewritten(lambda arrays: dict(list(arrays.items())[1:])),
    "fewer rows": rewritten(
        lambda arrays: {name: array[:-1] if array.ndim else array for name, array in arrays.items()}
    ),
    "other numbers": rewritten(
        lambda arrays: {name: np.zeros_like(array) for name, array in arrays.items()}
    ),
    "a file from elsewhere": lambda path: np.savez(path, label=np.arange(64)),
}


@dataclass(frozen=True)
class Stopped:
    """A run of one attack, stopped in its second shard, and the same run unstopped."""

    out: Path
    asked: dict[str, Any]
    whole: tuple[Any, bytes]


@pytest.fixture(scope="module")
def stopped(drive, tmp_path_factory) -> Stopped:
    folder = tmp_path_factory.mktemp("stopped")
    asked = {"card": CARD, "request": Request([FAST, "random"], {"eps": ["0.1"]})}

    def stop(done: int, total: int, what: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    record = evaluate(drive, dataset(drive), **asked, out=folder / "whole")
    with pytest.raises(KeyboardInterrupt, match="1 of 2 shards and 2 of 3 jobs"):
        evaluate(drive, dataset(drive), **asked, out=folder / "run", progress=stop)
    return Stopped(folder / "run", asked, results(folder / "whole", record))


@pytest.mark.parametrize("which", ["shards/00000.npz", "shards/00001/*.npz"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_or_other_is_done_again(drive, tmp_path, stopped, which: str, damage):
    shutil.copytree(stopped.out, tmp_path / "run")
    paths = sorted((tmp_path / "run").glob(which))
    assert paths
    for path in paths:
        before = path.read_bytes()
        damage(path)
        assert path.read_bytes() != before
    told: list[int] = []
    record = evaluate(
        drive, dataset(drive), **stopped.asked, out=tmp_path / "run", resume=True,
        progress=lambda done, total, what: told.append(done),
    )  # fmt: skip
    assert told[0] == (1 if "00000." in which else 3)
    assert results(tmp_path / "run", record) == stopped.whole


def test_a_good_shard_of_other_settings_is_not_believed(drive, tmp_path, stopped):
    shutil.copytree(stopped.out, tmp_path / "run")

    def stop(done: int, total: int, what: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    other = stopped.asked | {"request": replace(stopped.asked["request"], seed=1)}
    with pytest.raises(KeyboardInterrupt):
        evaluate(drive, dataset(drive), **other, out=tmp_path / "other", progress=stop)
    for path in (tmp_path / "other/shards").rglob("*.npz"):
        shutil.copy(path, tmp_path / "run/shards" / path.relative_to(tmp_path / "other/shards"))
    record = evaluate(drive, dataset(drive), **stopped.asked, out=tmp_path / "run", resume=True)
    assert results(tmp_path / "run", record) == stopped.whole


@pytest.mark.parametrize("name", ["strongest", "probes"])
def test_a_damaged_note_is_made_again(drive, tmp_path, name: str):
    members = (Member(FAST, "strongest"), *TOY.members)
    request = Request([replace(TOY, members=members)], {"eps": ["0.1"]})
    asked = {"card": CARD, "request": request, "validation": dataset(drive, 12)}
    data = dataset(drive, 20)

    def stop(done: int, total: int, what: str) -> None:
        if total > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(drive, data, **asked, out=tmp_path / "a", progress=stop)
    (tmp_path / f"a/shards/{name}.npz").write_bytes(b"{")
    record = evaluate(drive, data, **asked, out=tmp_path / "a", resume=True)
    unstopped = evaluate(drive, data, **asked, out=tmp_path / "b")
    assert record.probes
    assert record.recipe.strongest
    assert results(tmp_path / "a", record) == results(tmp_path / "b", unstopped)


@pytest.mark.parametrize("after", [1, 5, 6])
def test_a_full_disk_is_one_error_and_what_was_kept_stays(drive, tmp_path, stopped, after: int):
    """Files may not grow beyond some bytes, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int, total: int, what: str) -> None:
        if done == after:
            resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))

    try:
        with pytest.raises(OutputError, match=r"\.npz: cannot be written: "):
            evaluate(drive, dataset(drive), **stopped.asked, out=tmp_path, progress=fill)
        gc.collect()  # what an object says of the disk when it goes would be an error here
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told: list[int] = []
    record = evaluate(
        drive, dataset(drive), **stopped.asked, out=tmp_path, resume=True,
        progress=lambda done, total, what: told.append(done),
    )  # fmt: skip
    assert told[0] == after
    assert results(tmp_path, record) == stopped.whole


# --- what is somebody else's


def small(drive, out: Path, **flags: bool) -> None:
    evaluate(drive, dataset(drive, 6), Request(), card=CARD, out=out, **flags)


@pytest.mark.parametrize("flags", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize(
    "mine",
    ["shards/00000.npz", "shards/data.bin", "settings.json", "record.json", "samples.npz",
     "report.html"],
)  # fmt: skip
def test_a_file_of_somebody_elses_stays_and_is_named(drive, tmp_path, mine: str, flags):
    (tmp_path / mine).parent.mkdir(exist_ok=True)
    (tmp_path / mine).write_text('{"mine": 1}')
    named = "shards" if mine.startswith("shards") else mine
    with pytest.raises(OutputError, match=f"/{named}: not written by an evaluation"):
        small(drive, tmp_path, **flags)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / mine]
    assert (tmp_path / mine).read_text() == '{"mine": 1}'


@pytest.mark.parametrize("mine", ["00000.npz", "notes.txt"])
def test_a_folder_of_that_name_beside_a_result_stays(drive, tmp_path, mine: str):
    small(drive, tmp_path)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / mine).write_text("mine")
    with pytest.raises(OutputError, match="/shards: not written by an evaluation"):
        small(drive, tmp_path, overwrite=True)
    assert (tmp_path / "shards" / mine).read_text() == "mine"
    assert (tmp_path / "record.json").is_file()


@pytest.mark.parametrize(
    "mine", ["notes.txt", "00000/notes.txt", "00001.npz.txt", "more/00000.npz"]
)
def test_a_file_put_among_the_work_stays(drive, tmp_path, stopped, mine: str):
    out = tmp_path / "run"
    shutil.copytree(stopped.out, out)
    work = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "shards" / mine).parent.mkdir(exist_ok=True)
    (out / "shards" / mine).write_text("mine")
    named = "shards/more" if mine.startswith("more") else f"shards/{mine}"
    with pytest.raises(OutputError, match=f"/{named}: not written by an evaluation"):
        small(drive, out, overwrite=True)
    assert all(path.read_bytes() == content for path, content in work.items())
    record = evaluate(drive, dataset(drive), **stopped.asked, out=out, resume=True)
    assert results(out, record) == stopped.whole
    left = [path for path in (out / "shards").rglob("*") if path.is_file()]
    assert left == [out / "shards" / mine]
    assert left[0].read_text() == "mine"


def test_overwriting_removes_the_work_of_an_interrupted_run(drive, tmp_path):
    interrupted(drive, tmp_path, 3)
    for half in (".record.json.abcdefgh", "shards/.00001.npz.abcd_123"):
        (tmp_path / half).write_text("half")
    small(drive, tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "record.json",
        "samples.npz",
        "settings.json",
    ]
