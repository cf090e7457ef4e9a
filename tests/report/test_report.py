"""The page and the table: they show every number, nothing hostile, nothing from elsewhere."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from neurorobust.assess.confirm import require_identical
from neurorobust.budgets import parse
from neurorobust.cli import output
from neurorobust.errors import BadInput, CheckFailed, OutputError
from neurorobust.evaluation import read_record
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
from neurorobust.report.samples import read_examples
from neurorobust.report.words import settings
from neurorobust.support.files import write_npz

CLEAN, TOTAL = 973, 1000
NO_EXAMPLES = {"label": np.arange(3)}


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


def placed(**kinds: dict[str, RobustRate]) -> dict[str, dict[str, RobustRate]]:
    """Rates at budgets as typed, by kind: as a record keeps them."""
    return {
        kind: {text: RobustRate(**dict(rate) | at(kind, text)) for text, rate in rates.items()}
        for kind, rates in kinds.items()
        if rates
    }


def at(kind: str, text: str) -> dict[str, Any]:
    return {"kind": kind, "text": text, "numbers": parse(kind, text).numbers}


def worst(**by_attack: AttackRate) -> RobustRate:
    named = {name.replace("_", "-"): value for name, value in by_attack.items()}
    correct = min(value.correct for value in named.values()) - 1
    counted = rate(correct, TOTAL)
    return RobustRate(
        **at("eps", "0"), correct=correct, total=TOTAL, interval=counted.interval, by_attack=named
    )


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
            readout="count",
            training={"command": "neurorobust train --network mlp", "seed": 7},
        ),
        "backend": "engine",
        "target": "Lava's integers, computed by neurorobust's engine",
        "dataset": "digits (test)",
        "seed": 3,
        "attacks": {
            "pgd-linf": {
                "domain": "images",
                "access": "white-box",
                "control": False,
                "steps": 40,
                "step": "2.5 ε / 40",
            },
            "random": {"domain": "images", "access": "none", "control": True, "draws": 1},
            "flip-greedy": {
                "domain": "spikes",
                "access": "white-box",
                "control": False,
                "rounds": 8,
            },
            "random-flips": {"domain": "spikes", "access": "none", "control": True},
        },
        "clean": rate(CLEAN, TOTAL),
        "robust": placed(
            eps={
                "0.2": worst(pgd_linf=attacked(12, 0.021), random=attacked(934)),
                "0.05": worst(pgd_linf=attacked(862, 0.004), random=attacked(969)),
                "0.1": worst(pgd_linf=attacked(518, 0.004), random=attacked(961)),
            },
            flips={
                "4": worst(flip_greedy=attacked(801, 0.013), random_flips=attacked(958)),
                "16": worst(flip_greedy=attacked(233, 0.013), random_flips=attacked(917)),
            },
        ),
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


class Page(HTMLParser):
    """What a browser would make of it: text, elements, attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)
        if tag not in ("span", "b", "em", "code"):
            self.words.append(" ")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


def page_of(directory: Path) -> tuple[str, Page]:
    text = write_report(directory).read_text(encoding="utf-8")
    return text, Page(text)


def printed(record: Record, report: Path | None = None) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_record(record, console, report)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return page_of(write_sample(tmp_path_factory.mktemp("whole")))


def test_nothing_comes_from_elsewhere(whole: tuple[str, Page]) -> None:
    text, page = whole
    assert not re.search(r"https?://|//[a-z]|\bsrc=|@import|<script|<link", text)
    links = [value for _, named in page.elements for key, value in named.items() if key == "href"]
    assert len(links) > 10
    assert all(link is not None and link.startswith(("#", "data:image/png")) for link in links)
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", text))
    assert len(text) < 1_500_000


def test_the_page_is_well_formed(whole: tuple[str, Page]) -> None:
    text, page = whole
    assert page.open == []
    assert len(page.ids()) == len(set(page.ids()))
    referred = set(re.findall(r'(?:url\(#|href="#|aria-labelledby=")([\w-]+)', text))
    assert len(referred) > 20
    assert referred <= set(page.ids())


def test_drawings_are_described_and_take_their_colours_from_the_page(whole: Any) -> None:
    text, page = whole
    drawings = [named for tag, named in page.elements if tag == "svg"]
    described = [named for named in drawings if named.get("role") == "img"]
    assert len(described) == 2 * 2 + 3 * 3 + 4 * 4  # curves, pictures, rasters
    assert all(named["aria-label"] for named in described)
    hidden = [named for named in drawings if named.get("aria-hidden") == "true"]
    assert len(described) + len(hidden) == len(drawings)
    assert "#0102" not in text
    assert "prefers-color-scheme: dark" in text


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_report(write_sample(tmp_path / "a")).read_bytes()
    second = write_report(write_sample(tmp_path / "b")).read_bytes()
    assert first == second


def rates_of(value: Any) -> list[tuple[int, int, tuple[float, float]]]:
    """Every count with its interval, anywhere in a record."""
    if isinstance(value, dict):
        own = (
            [(value["correct"], value["total"], tuple(value["interval"]))]
            if "interval" in value
            else []
        )
        return own + [found for part in value.values() for found in rates_of(part)]
    if isinstance(value, list):
        return [found for part in value for found in rates_of(part)]
    return []


def test_every_number_of_the_record_appears(whole: tuple[str, Page]) -> None:
    _, page = whole
    record = sample_record()
    rates = rates_of(record.model_dump(mode="json"))
    assert len(rates) == 1 + 3 * (1 + 2 * 2) + 2 * (1 + 2 * 2) + 2 * (2 + 4)
    for correct, total, (low, high) in rates:
        assert f"{correct:,} of {total:,}" in page.text
        assert f"{100 * correct / total:.1f} %" in page.text
        assert f"{100 * low:.1f} to {100 * high:.1f} %" in page.text
    for words in (
        record.model_sha256,
        record.target,
        record.dataset,
        record.provenance.command,
        record.provenance.started,
        "3 min 23 s",
        "lava-nc 0.10.0",
        "0.4 %",
        "2.1 %",
        "12.3 s",
        "p = 0.00092",
        "p = 0.21",
        "61 inputs survived only on the float network and 29 only on the deployed one",
        "17 of 1,000 inputs",
        "32 of 32 replayed inputs were confirmed in Lava's fixed-point simulation",
        "27 of them were successful adversarial inputs",
        "layer 1, sample 4, neuron 20, step 3: v 812 and 813",
    ):
        assert words in page.text


def test_the_verdict_is_one_sentence_of_numbers(whole: tuple[str, Page]) -> None:
    _, page = whole
    assert (
        "digits-mlp answers 973 of 1,000 unchanged inputs correctly (97.3 %, 95 % interval "
        "96.1 to 98.1 %); still right after the strongest attack tried on each: "
        "86.1 % (83.8 to 88.1 %) at ε = 0.05, "
        "1.1 % (0.6 to 2.0 %) at ε = 0.2, 80.0 % (77.4 to 82.4 %) with up to 4 flips of input "
        "spikes and 23.2 % (20.7 to 25.9 %) with up to 16 flips of input spikes; where it ran: "
        "Lava's integers, computed by neurorobust's engine; 32 of 32 replayed inputs were "
        "confirmed in Lava's fixed-point simulation, spike for spike."
    ) in page.text


def test_a_simulation_is_never_called_a_chip(whole: tuple[str, Page], tmp_path: Path) -> None:
    assert "Loihi 2" not in whole[1].text
    assert "not a measurement on a neuromorphic chip" in whole[1].text
    board = sample_record(backend="loihi2", target="a Loihi 2 board")
    _, page = page_of(write_sample(tmp_path, board, NO_EXAMPLES))
    assert "not a measurement" not in page.text
    assert "where it ran: a Loihi 2 board" in page.text


def test_budgets_stand_in_order_and_fractions_stay_as_typed(tmp_path: Path) -> None:
    rates = {typed: worst(pgd_linf=attacked(900)) for typed in ("16/255", "0.01", "8/255")}
    _, page = page_of(write_sample(tmp_path, sample_record(robust=placed(eps=rates)), NO_EXAMPLES))
    results = page.text[page.text.index("How many inputs") :]
    places = [results.index(f"ε = {typed}") for typed in ("0.01", "8/255", "16/255")]
    assert places == sorted(places)


def test_flags_come_before_the_results(whole: tuple[str, Page], tmp_path: Path) -> None:
    assert (
        "None of the checks raised a flag. They looked for: success rates over a handful of "
        "samples; intervals too wide to tell anything apart; attacks without a control; a missing"
        in whole[1].text
    )
    flagged = sample_record(flags=("accuracy rises with ε", "gradients are masked"))
    _, page = page_of(write_sample(tmp_path, flagged, NO_EXAMPLES))
    assert "2 red flags" in page.text
    assert "None of the checks" not in page.text
    flag, results = page.text.index("gradients are masked"), page.text.index("What was asked")
    assert flag < results


def test_sections_without_data_are_left_out(whole: tuple[str, Page], tmp_path: Path) -> None:
    bare = sample_record(robust={}, attacks={}, comparison=(), parity=(), confirmed=None)
    _, page = page_of(write_sample(tmp_path, bare, NO_EXAMPLES))
    optional = {"pictures", "rasters", "comparison", "trust"}
    assert optional <= set(whole[1].ids())
    assert not optional & set(page.ids())
    assert {"flags", "asked", "results", "provenance", "glossary"} <= set(page.ids())
    assert "Unchanged inputs only, no attack was asked for" in page.text
    assert "None of the checks raised a flag" not in page.text
    assert "nothing is known about robustness" in page.text


def test_unconfirmed_and_broken_proposals_are_said(tmp_path: Path) -> None:
    broken = attacked(700).model_copy(update={"failed": 3, "projected": 1})
    record = sample_record(confirmed=None, robust=placed(eps={"0.1": worst(pgd_linf=broken)}))
    _, page = page_of(write_sample(tmp_path, record, NO_EXAMPLES))
    assert "nothing here is confirmed by a second implementation" in page.text
    assert "pgd-linf, ε = 0.1: 3 proposals invalid and counted as no success." in page.text
    assert "pgd-linf, ε = 0.1: 1 proposal beyond the budget and projected back" in page.text


@pytest.mark.parametrize("replayed", [32, 30])
def test_a_failed_confirmation_is_not_called_confirmed(tmp_path: Path, replayed: int) -> None:
    confirmed = Confirmation(
        backend="lava",
        requested=32,
        replayed=replayed,
        identical=29,
        adversarial=9,
        first_difference="sample 3, neuron 4, step 11",
    )
    record = sample_record(confirmed=confirmed)
    _, page = page_of(write_sample(tmp_path, record, NO_EXAMPLES))
    asked = "" if replayed == 32 else " (32 were asked for)"
    assert f"not confirmed 29 of {replayed} replayed inputs{asked} were" in page.text
    assert "First difference: sample 3, neuron 4, step 11" in page.text
    assert "NOT confirmed" in printed(record)


def test_few_samples_that_all_agree_are_confirmed(tmp_path: Path) -> None:
    """Page, table and exit code follow one predicate, also where fewer exist than asked for."""
    few = Confirmation(backend="lava", requested=32, replayed=3, identical=3, adversarial=1)
    assert few.holds
    require_identical(few)
    record = sample_record(confirmed=few)
    _, page = page_of(write_sample(tmp_path, record, NO_EXAMPLES))
    assert "confirmed replayed inputs, all 3 there were (32 were asked for): confirmed" in page.text
    assert "not confirmed" not in page.text
    assert "NOT confirmed" not in printed(record)
    for change in ({"identical": 2}, {"first_difference": "here"}, {"replayed": 0, "identical": 0}):
        failed = few.model_copy(update=change)
        assert not failed.holds
        assert "NOT confirmed" in printed(sample_record(confirmed=failed))
        with pytest.raises(CheckFailed, match=r"confirm lava: \d of \d identical"):
            require_identical(failed)


def test_without_attacks_no_check_is_claimed() -> None:
    bare = {"robust": {}, "attacks": {}, "comparison": (), "confirmed": None}
    lines = " ".join(printed(sample_record(**bare)).split())
    assert "red flags none raised; not attacked, robustness is not known" in lines
    assert "red flags none raised" in " ".join(printed(sample_record()).split())
    assert "not attacked" not in printed(sample_record())


def test_transfer_is_said_to_be_no_part_of_the_worst_case(whole: tuple[str, Page]) -> None:
    said = "what carries over from float is no part of them."
    assert said in whole[1].text
    assert said in " ".join(printed(sample_record()).split())
    alone = sample_record(comparison=())
    assert said not in " ".join(printed(alone).split())


def test_what_one_draw_to_the_next_changes_stands_beside_the_results(
    whole: tuple[str, Page], tmp_path: Path
) -> None:
    again = sample_record(redraw=rate(31, CLEAN), draws=10)
    _, page = page_of(write_sample(tmp_path, again, NO_EXAMPLES))
    results = page.text[page.text.index("Results") : page.text.index("How accuracy falls")]
    assert "from one draw to another, no attack 3.2 % 2.3 to 4.5 % 31 of 973" in results
    for text in (results, " ".join(printed(again).split())):
        assert "without any attack, it lost 31 of 973 right answers (3.2 %" in text
        assert "So 10 draws selected the worst proposal for each input" in text
    for text in (whole[1].text, printed(sample_record())):
        assert "from one draw to another" not in text


@pytest.mark.parametrize(
    ("pending", "message"),
    [
        (("confirmation",), "unfinished: confirmation still to come; run the evaluation again"),
        (("comparison", "flags"), "unfinished: comparison and flags still to come; run the"),
    ],
)
def test_an_unfinished_record_gets_no_page(
    tmp_path: Path, pending: tuple[str, ...], message: str
) -> None:
    directory = write_sample(tmp_path, sample_record(pending=pending))
    with pytest.raises(BadInput, match=f"{message}.* with --resume"):
        write_report(directory)
    assert not (directory / "report.html").exists()


@pytest.mark.parametrize(
    ("broken", "p", "said"),
    [
        ((900, 300, 300, 600), 0.001, "would overstate its robustness"),
        ((900, 600, 300, 300), 0.001, "its gradients may be misleading"),
        ((900, 300, 300, 301), 0.6, "the two intervals overlap"),
        ((900, 300, 300, 301), 0.6, "do not show that one resists better"),
        ((900, 300, 300, 301), 0.001, "the float network resists better than the deployed"),
    ],
)
def test_the_two_by_two_is_explained(
    tmp_path: Path, broken: tuple[int, int, int, int], p: float, said: str
) -> None:
    record = sample_record(comparison=(comparison("0.1", broken, p),))
    assert said in page_of(write_sample(tmp_path, record, NO_EXAMPLES))[1].text


def test_membranes_are_drawn_where_they_are_read(tmp_path: Path) -> None:
    card = Card(encoder=EncoderCard(kind="drive", mean=0.0, std=1.0), steps=16, readout="membrane")
    _, page = page_of(write_sample(tmp_path, sample_record(card=card)))
    assert "Membranes, attacked" in page.text
    assert "Output, attacked" not in page.text


def test_a_large_input_layer_says_how_many_neurons_are_drawn(tmp_path: Path) -> None:
    arrays = sample_arrays()
    generator = np.random.default_rng(1)
    for side in ("clean", "adversarial"):
        spikes = generator.random((3, 2, 64, 64, 40)) < 0.1
        arrays[f"example/eps/input/{side}"] = spikes.astype(np.uint8)
    text, page = page_of(write_sample(tmp_path, arrays=arrays))
    assert "the 160 most changed of 8,192 neurons" in page.text
    assert len(text) < 1_500_000


def test_hostile_words_are_shown_not_run(tmp_path: Path) -> None:
    hostile = "<script>alert('$x$')</script>\"><img onerror=alert(1)> [red]"
    arrays = sample_arrays()
    arrays["example/eps/attack"] = np.array([hostile] * 3)
    record = sample_record(
        model=hostile,
        target=hostile,
        dataset=hostile,
        flags=(hostile,),
        attacks={hostile: {hostile: hostile, "access": "none"}},
        robust=placed(
            eps={
                "0.1": worst(pgd_linf=attacked(900)).model_copy(
                    update={"by_attack": {hostile: attacked(900)}}
                )
            }
        ),
    )
    text, page = page_of(write_sample(tmp_path, record, arrays))
    assert not {tag for tag, _ in page.elements} & {"script", "img"}
    assert "onerror" not in {key for _, named in page.elements for key in named}
    assert page.text.count(" ".join(hostile.split())) >= 8
    assert text.count("&lt;script&gt;") >= 8
    assert "[red]" in printed(record)


def test_the_table_fits_a_terminal_and_says_it_all(tmp_path: Path) -> None:
    record = sample_record(flags=("accuracy rises with ε",))
    output = printed(record, tmp_path / "report.html")
    lines = output.splitlines()
    assert max(len(line.rstrip()) for line in lines if str(tmp_path) not in line) <= 80
    flat = " ".join(output.split())
    for words in (
        "digits-mlp on digits (test)",
        record.target,
        "97.3 % answered correctly, 973 of 1,000 (95 % interval 96.1 to 98.1 %)",
        "0.05 86.1 % (83.8 to 88.1 %) 86.2 % 96.9 %",
        "0.1 51.7 % (48.6 to 54.8 %) 51.8 % 96.1 %",
        "16 23.2 % (20.7 to 25.9 %) 23.3 % 91.7 %",
        "random (control)",
        "ε = 0.05 9.2 % 7.4 % 6.7 % 10.7 % 88 of 961 71 of 961 64 of 961 103 of 961 "
        "7.5 to 11.1 % 5.9 to 9.2 % 5.2 to 8.4 % 8.9 to 12.8 %",
        "each attacked ε = 0.05: 61 inputs survived only on the float network and 29 only on the "
        "deployed one (exact McNemar test, p = 0.00092)",
        "17 answers of 1,000 changed",
        "slayer and engine, 360 inputs: identical",
        "engine and lava, 16 inputs: different: layer 1, sample 4,",
        "32 of 32 replayed inputs were confirmed in Lava's fixed-point simulation",
        "accuracy rises with ε",
        f"report {tmp_path / 'report.html'}",
    ):
        assert words in flat
    assert output.index("0.05") < output.index("0.2 ")


def test_many_attacks_still_fit_a_terminal() -> None:
    many = {f"attack-with-a-name-{number}": attacked(900 - number) for number in range(7)}
    output = printed(sample_record(robust=placed(eps={"8/255": worst(**many)})))
    assert max(len(line.rstrip()) for line in output.splitlines()) <= 80
    assert "89.6 % attack-with-a-name-4" in output


def spikes_record(kind: str, budgets: tuple[str, ...], *names: str) -> Record:
    """Attacks on spikes; those named random are controls."""
    rates = worst(**{name.replace("-", "_"): attacked(900) for name in names})
    settings = {
        name: {"domain": "spikes", "access": "none", "control": "random" in name} for name in names
    }
    robust = placed(**{kind: dict.fromkeys(budgets, rates)})
    return sample_record(robust=robust, comparison=(), attacks=settings)


FLIPS = ("10", "insert=5+delete=3", "3+channel=1+rows=2:8")
NAMES = ("spike-random", "spike-topk", "sea", "sda")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("budgets", [FLIPS[:1], FLIPS])
def test_no_name_is_broken_and_every_control_is_marked_in_80_columns(
    count: int, budgets: tuple[str, ...]
) -> None:
    lines = printed(spikes_record("flips", budgets, *NAMES[:count])).splitlines()
    shown = [line for line in lines if "spike-random" in line]
    assert shown
    assert all("spike-random (control)" in line for line in shown)
    for name in NAMES[:count]:
        assert any(name in line.split() for line in lines), name
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_controls_are_marked_and_explained_on_the_page_where_there_are_some(
    whole: tuple[str, Page], tmp_path: Path
) -> None:
    text, page = whole
    assert 'data-label="random (control)"' in text
    assert 'data-label="random"' not in text
    assert re.search(r"random \(control\) \S+ %", page.text)  # attack by attack
    explained = "The control is blind noise of the same size", "Random changes of the same size."
    assert all(words in page.text for words in explained)
    alone = sample_record(
        robust=placed(eps={"0.1": worst(pgd_linf=attacked(518))}),
        attacks={"pgd-linf": {"access": "white-box", "control": False}},
    )  # fmt: skip
    _, page = page_of(write_sample(tmp_path, alone, NO_EXAMPLES))
    assert not any(words in page.text for words in explained)
    assert "Control:" not in printed(alone)
    assert "Control: blind noise of the same size" in " ".join(printed(sample_record()).split())


@pytest.mark.parametrize(
    ("kind", "budget", "said", "unsaid"),
    [
        ("shifts", "reach=2+spikes=4", "reach: by at most so many time steps; spikes: so",
         "total: so many"),
        ("flips", "10", "flips: how many input spikes may be added or removed.", "insert:"),
        ("flips", "insert=5", "insert: how many may be added.", "channel:"),
        ("patches", "5x5", "patch: height x width of the one rectangle", "flips:"),
        ("eps", "l2:0.5", "ε with l2: how far a picture may move, by the L2 norm", "each pixel"),
        ("eps", "l0:5", "ε with l0: how many pixels may change.", "each pixel may"),
    ],
)  # fmt: skip
def test_budgets_are_explained_where_they_stand_and_no_others(
    tmp_path: Path, kind: str, budget: str, said: str, unsaid: str
) -> None:
    record = spikes_record(kind, (budget,), "sda", "spike-random")
    told = " ".join(printed(record).split())
    assert said in told
    assert unsaid not in told
    assert said in page_of(write_sample(tmp_path, record, NO_EXAMPLES))[1].text


def test_settings_of_attacks_are_explained_where_they_are_shown(tmp_path: Path) -> None:
    shown = {"access": "white-box", "mode": "atan-2", "reach": 2.5, "draws": 10}
    hidden = {"control": False, "may_return_x": False}
    _, page = page_of(
        write_sample(tmp_path / "a", sample_record(attacks={"pgd-linf": shown | hidden}))
    )
    words = ("How an attack's gradient passes a neuron", "How far the steps of an attack lead",
             "how many random inputs one gradient is averaged over")  # fmt: skip
    assert all(word in page.text for word in words)
    assert "may return x" not in page.text
    bare = sample_record(attacks={"pgd-linf": {"access": "white-box"}})
    _, page = page_of(write_sample(tmp_path / "b", bare, NO_EXAMPLES))
    assert not any(word in page.text for word in words)


@pytest.mark.parametrize("total", [1, 961])
def test_the_two_by_two_shows_how_many_inputs_it_is_of(total: int) -> None:
    cells = [
        Cell(crafted=crafted, scored=scored, success=rate(broken * total, total))
        for crafted, scored, broken in (
            ("float", "float", 1), ("float", "deployed", 0),
            ("deployed", "float", 1), ("deployed", "deployed", 0),
        )
    ]  # fmt: skip
    known = comparison("0.1", (0, 0, 0, 0), 1.0).model_copy(update={"cells": tuple(cells)})
    output = printed(sample_record(comparison=(known,)))
    low = f"{100 * rate(total, total).interval[0]:.1f} to 100.0 %"
    assert output.count(f"{total} of {total}") == output.count(low) == 2
    assert output.count(f"0 of {total}") == 2
    assert max(len(line.rstrip()) for line in output.splitlines()) <= 80


def test_a_record_that_counted_nothing_is_shown(tmp_path: Path) -> None:
    empty = sample_record(clean=rate(0, 0))
    assert "0 of 0 unchanged inputs" in page_of(write_sample(tmp_path, empty, NO_EXAMPLES))[1].text
    assert "0 of 0" in printed(empty)


def spoil_samples(directory: Path, **changes: np.ndarray) -> None:
    named = {name.replace("__", "/"): array for name, array in changes.items()}
    np.savez(directory / "samples.npz", **(sample_arrays() | named))


def spoil_record(directory: Path, old: str, new: str, count: int = -1) -> None:
    path = directory / "record.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


SPOILED: list[tuple[str, Any, str]] = [
    ("no record", lambda d: (d / "record.json").unlink(), r"record\.json: "),
    ("no samples", lambda d: (d / "samples.npz").unlink(), r"samples\.npz: no such file"),
    ("no JSON", lambda d: (d / "record.json").write_text("{"), r"record\.json: "),
    ("binary", lambda d: (d / "record.json").write_bytes(b"\xff\xfe\x00"), r"record\.json: "),
    ("no schema", lambda d: (d / "record.json").write_text('{"version": 1}'), r"record\.json: "),
    (
        "no npz",
        lambda d: (d / "samples.npz").write_bytes(b"hello"),
        r"samples\.npz: not a readable",
    ),
    (
        "truncated",
        lambda d: (d / "samples.npz").write_bytes((d / "samples.npz").read_bytes()[:900]),
        r"samples\.npz: not a readable",
    ),
    (
        "pickled",
        lambda d: spoil_samples(d, example__eps__attack=np.array([{}, {}, {}], dtype=object)),
        r"samples\.npz: array example/eps/attack holds Python objects, which are never loaded",
    ),
    (
        "wrong length",
        lambda d: spoil_samples(d, example__eps__label=np.arange(2)),
        r"example/eps/label has shape \(2,\) for 3 examples",
    ),
    (
        "wrong kind",
        lambda d: spoil_samples(d, example__eps__label=np.zeros(3)),
        r"example/eps/label is float64 with 1 axes, need 1 axes of numpy kind i or u or b",
    ),
    (
        "number in words",
        lambda d: spoil_record(d, '"seconds": 12.34', '"seconds": "12.34"'),
        r'record\.json: robust\.eps\.0\.2\.by_attack\.pgd-linf\.seconds is "12\.34", need a number',
    ),
    (
        "no number",
        lambda d: spoil_record(d, '"seconds": 12.34', '"seconds": NaN'),
        r"record\.json: NaN is no finite number",
    ),
    (
        "infinite number",
        lambda d: spoil_record(d, '"seconds": 12.34', '"seconds": 1e400'),
        r"record\.json: number 1e400 is too large",
    ),
    (
        "a number in words",
        lambda d: spoil_record(d, '"epsilon": 0.2,', '"epsilon": "much",'),
        r'record\.json: robust\.eps\.0\.2: eps: epsilon is "much", need a number',
    ),
    (
        "no such budget",
        lambda d: spoil_record(d, '"epsilon": 0.2,', '"epsilon": -0.2,'),
        r"record\.json: robust\.eps\.0\.2: eps: budget: eps -0.2 outside \[0, 1\]",
    ),
    (
        "another number",
        lambda d: spoil_record(d, '"epsilon": 0.2,', '"epsilon": 0.2, "radius": 1,'),
        r"record\.json: robust\.eps\.0\.2: eps: radius is unknown, known: epsilon, norm",
    ),
    (
        "another kind",
        lambda d: spoil_record(d, '"kind": "eps"', '"kind": "pixels"'),
        r'record\.json: robust\.eps\.0\.2\.kind is "pixels", need eps, flips, shifts or patches',
    ),
    (
        "another budget",
        lambda d: spoil_record(d, '"text": "0.2"', '"text": "0.3"'),
        r"record\.json: robust eps 0\.2: holds eps 0\.3",
    ),
    (
        "no version",
        lambda d: spoil_record(d, '"version": 2,', "", 1),
        r"record\.json: version is missing",
    ),
    (
        "another version",
        lambda d: spoil_record(d, '"version": 2,', '"version": 3,', 1),
        r"record\.json: version is 3, need 2",
    ),
    (
        "a record of 17 MiB",
        lambda d: spoil_record(d, "{", "{" + " " * (17 << 20), 1),
        r"record\.json: 178\d+ bytes, the limit is 16777216",
    ),
    (
        "a thousand examples",
        lambda d: spoil_samples(d, example__eps__index=np.arange(1000)),
        r"example/eps/index names 1000 examples, the limit is 100",
    ),
    (
        "not finite",
        lambda d: spoil_samples(
            d, example__eps__image__clean=np.full((3, 1, 8, 8), np.nan, np.float32)
        ),
        r"example/eps/image/clean holds pixels that are not finite",
    ),
    (
        "different shapes",
        lambda d: spoil_samples(d, example__eps__output__clean=np.zeros((3, 10, 15), np.uint8)),
        r"example/eps/output/adversarial has shape \(3, 10, 16\), clean \(3, 10, 15\)",
    ),
    (
        "no spikes",
        lambda d: spoil_samples(
            d, example__flips__input__clean=np.full((2, 1, 8, 8, 16), 2, np.uint8)
        ),
        r"example/flips/input/clean holds spikes that are neither 0 nor 1",
    ),
]


@pytest.mark.parametrize(
    ("spoil", "message"), [case[1:] for case in SPOILED], ids=[c[0] for c in SPOILED]
)
def test_missing_and_damaged_files_are_refused_in_one_line(
    tmp_path: Path, spoil: Any, message: str
) -> None:
    directory = write_sample(tmp_path / "run")
    spoil(directory)
    with pytest.raises(BadInput, match=message) as caught:
        write_report(directory)
    assert "\n" not in str(caught.value)
    assert not (directory / "report.html").exists()


def test_a_missing_array_is_named(tmp_path: Path) -> None:
    arrays = sample_arrays()
    del arrays["example/flips/budget"]
    with pytest.raises(BadInput, match="array example/flips/budget is missing"):
        write_report(write_sample(tmp_path, arrays=arrays))


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    directory = write_sample(tmp_path / "run", arrays=NO_EXAMPLES)
    (directory / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_report(directory)
    names = {path.name for path in directory.iterdir()}
    assert names == {"record.json", "samples.npz", "report.html"}


def test_reading_examples_takes_the_memory_that_they_declare(tmp_path: Path) -> None:
    spikes = (np.random.default_rng(0).random((3, 1, 64, 64, 200)) < 0.1).astype(np.uint8)
    named = {f"example/flips/input/{side}": spikes for side in ("clean", "adversarial")}
    named["example/flips/index"] = np.arange(3)
    arrays = sample_examples("flips", ("4", "5", "6"), "flip-greedy") | named
    path = tmp_path / "samples.npz"
    write_npz(path, arrays)
    tracemalloc.start()
    found = read_examples(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [example.entered.clean.dtype for example in found] == [np.uint8] * 3
    assert np.array_equal(found[2].entered.attacked, spikes[2].reshape(-1, 200))
    assert peak < 3 * spikes.nbytes  # two of them are kept


def test_settings_of_any_kind_are_words() -> None:
    assert settings({"access": {"a": 1}, "domain": [1, None]}) == [
        ("access", "a 1"),
        ("domain", "1, none"),
    ]


HOSTILE = "\x1b]0;evil\x07\x1b[2J\u202e\x9b31m"


@pytest.mark.parametrize("key", ["model", "target", "dataset", "flags", "attacks"])
def test_no_control_character_of_a_record_reaches_the_terminal(
    tmp_path: Path, capfd: Any, key: str
) -> None:
    record = sample_record(confirmed=None, flags=("doubtful",))
    values = json.loads(record.model_dump_json())
    values[key] = {
        "flags": [HOSTILE],
        "attacks": {**values["attacks"], HOSTILE: {"access": HOSTILE}},
    }.get(key, HOSTILE)
    if key == "attacks":
        rates = values["robust"]["eps"]["0.05"]["by_attack"]
        rates[HOSTILE] = rates["pgd-linf"]
    write_sample(tmp_path, Record.model_validate_json(json.dumps(values)))
    with output.session(False) as said:
        print_record(read_record(tmp_path), said.console, write_report(tmp_path))
    shown = capfd.readouterr().out
    assert r"\x1b]0;evil" in "".join(shown.split())
    assert not [one for one in shown if one in HOSTILE and not one.isprintable()]
