"""Cards and records from anywhere: sound, or refused in one line of our own."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from neurorobust.errors import BadInput, CardError
from neurorobust.models import read_card
from neurorobust.networks.spec import NetworkSpec
from neurorobust.records import Card, EncoderCard, Provenance, Record, RobustRate, rate
from neurorobust.support import schema

CARD: dict[str, Any] = {
    "version": 1,
    "name": "small",
    "encoder": {"kind": "drive", "mean": 0.5, "std": 0.5},
    "steps": 16,
    "readout": "count",
    "training": {"seed": 3},
}
TEXT = json.dumps(CARD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested deeper than 32 levels"),
        (TEXT.replace("3}", '{"a":' * 40 + "1" + "}" * 41), "nested deeper than 32 levels"),
        (TEXT.replace("16", "9" * 10_000), "has 10000 digits, beyond 64 bits"),
        (TEXT.replace("3}", "-18446744073709551617}"), "beyond 64 bits"),
        (TEXT.replace("small", "\\ud800"), r'text "\ud800" holds half a character'),
        (TEXT.replace('"seed"', '"\\udfff"'), r'text "\udfff" holds half a character'),
        (TEXT.replace("16", '"16"'), 'steps is "16", need a whole number'),
        (TEXT.replace("16", "16.0"), "steps is 16.0, need a whole number"),
        (TEXT.replace("16", "true"), "steps is true, need a whole number"),
        (TEXT.replace("16", "null"), "steps is null, need a whole number"),
        (TEXT.replace("16", "0"), "steps is 0, need at least 1"),
        (TEXT.replace("16", "100001"), "steps is 100001, need at most 100000"),
        (TEXT.replace("16", '16, "steps": 17'), 'key "steps" stands twice'),
        (TEXT.replace("3}", '3, "seed": 3}'), 'key "seed" stands twice'),
        (TEXT.replace("0.5", "NaN", 1), "NaN is no finite number"),
        (TEXT.replace("3}", "-Infinity}"), "-Infinity is no finite number"),
        (TEXT.replace("0.5", "1e999", 1), "number 1e999 is too large"),
        (TEXT.replace('"std": 0.5', '"std": 0'), "encoder.std is 0, need more than 0"),
        (TEXT.replace('"mean"', '"maen"'), "encoder.maen is unknown, did you mean mean?"),
        (TEXT.replace(', "std": 0.5', ""), "encoder: a drive needs std: a wrong guess"),
        (TEXT.replace("drive", "drvie"), 'encoder.kind is "drvie", need drive, poisson, latency'),
        (TEXT.replace('"steps": 16, ', ""), "steps is missing (time steps, 1 to 100000)"),
        (TEXT.replace('"version": 1', '"version": 2'), "version is 2, need 1"),
        ("[]", "it is a list, need an object"),
        ("{}", "encoder is missing (an object with kind, of a drive also mean and std); steps is"),
        ("{", "not JSON: Expecting property name enclosed in double quotes (line 1, column 2)"),
        ("", "not JSON: Expecting value (line 1, column 1)"),
    ],
    ids=lambda text: text[:40] or "empty",
)
def test_a_card_that_is_none_is_refused_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(CardError) as refused:
        read_card(path)
    assert str(refused.value).startswith(f"card {path}: ")
    assert message in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 400


def test_a_card_larger_than_a_card_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "card.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # a hole: no disk is used, and reading it would not end
    with pytest.raises(CardError, match="1099511627776 bytes, the limit is 1048576"):
        read_card(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "card.json")
    with pytest.raises(CardError, match="no regular file"):
        read_card(tmp_path / "card.json")


def test_a_folder_is_no_card(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot be read: Is a directory"):
        read_card(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(b'{"name": "\xff"}')
    with pytest.raises(CardError, match="not JSON: byte 10 is no UTF-8"):
        read_card(tmp_path / "card.json")


def test_whole_numbers_do_for_fractions() -> None:
    text = TEXT.replace("0.5", "1")
    assert schema.parse(text.encode(), Card, "card").encoder == EncoderCard(
        kind="drive", mean=1.0, std=1.0
    )


def _record() -> Record:
    counted = rate(3, 4)
    attacked = {
        "correct": 2,
        "total": 4,
        "interval": (0.1, 0.9),
        "success": counted,
        "zero_gradient": 0.5,
        "seconds": 1.5,
    }
    worst = RobustRate.model_validate(
        {
            "kind": "eps", "text": "0.1", "numbers": {"epsilon": 0.1, "norm": "linf"},
            "correct": 2, "total": 4, "interval": (0.1, 0.9), "by_attack": {"pgd-linf": attacked},
        }
    )  # fmt: skip
    made = Provenance(
        neurorobust="0.1.0", versions={"python": "3.10"}, machine={"cores": "2"},
        command="neurorobust evaluate", started="2026-01-01T00:00:00+00:00", seconds=2.5,
    )  # fmt: skip
    return Record(
        model="m", model_sha256="0" * 64, card=Card.model_validate(CARD), backend="engine",
        target="the engine", dataset="digits", seed=0, attacks={"pgd-linf": {"steps": 40}},
        clean=counted, robust={"eps": {"0.1": worst}}, provenance=made,
    )  # fmt: skip


SPEC = NetworkSpec(kind="mlp", input_shape=(1, 8, 8), classes=10, steps=8)
ODD: tuple[Any, ...] = ("x", 1.5, True, None, [], {}, -1, [1], {"a": 1}, 1e300, 1 << 63)


def _places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*above, key))
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from _places(value[number], (*above, number))


def _with(values: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(values)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return changed


@pytest.mark.parametrize(
    "sound", [Card.model_validate(CARD), SPEC, _record()], ids=["card", "spec", "record"]
)
def test_no_sentence_of_the_library_that_checks_is_passed_on(sound: BaseModel) -> None:
    values = json.loads(sound.model_dump_json())
    refused = 0
    for place in _places(values):
        for odd in ODD:
            text = json.dumps(_with(values, place, odd))
            try:
                schema.parse(text.encode(), type(sound), "file")
            except BadInput as error:
                refused += 1
                words = str(error)
                assert "\n" not in words
                for theirs in ("Input should", "Extra inputs", "required", "http", "Value error",
                               "instance of", "valid", "does not allow"):  # fmt: skip
                    assert theirs not in words, words
    assert refused > 5 * len(list(_places(values)))


def test_a_record_without_a_version_is_refused() -> None:
    values = json.loads(_record().model_dump_json())
    del values["version"]
    with pytest.raises(BadInput, match="file: version is missing"):
        schema.parse(json.dumps(values).encode(), Record, "file", required=("version",))


def test_a_name_that_is_no_utf8_can_be_written_and_read() -> None:
    """A path on a command line may hold any bytes; they must not spoil a finished evaluation."""
    found = _record().model_copy(update={})
    odd = Record.model_validate(
        {**found.model_dump(), "model": "bad\udcff", "dataset": "npz:\udcfe"}
    )
    text = odd.model_dump_json()
    assert "\\udcff" in odd.model
    assert schema.parse(text.encode(), Record, "file") == odd
