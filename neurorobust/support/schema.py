"""JSON of a known schema from files nobody vouches for: sound, or one line that says where not.

What a file may hold is limited before it is read (bytes) and while it is (depth, numbers): each key
once, numbers finite and of at most 64 bits, text that can be written again. Then the types are
checked strictly: `"16"` is no number.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from neurorobust.errors import BadInput
from neurorobust.support.names import either
from neurorobust.support.refusals import refusals

Schema = TypeVar("Schema", bound=BaseModel)

MAX_BYTES = 1 << 20  # of a card; a record says how much more it may hold
MAX_DEPTH = 32
INTEGERS = range(-(1 << 63), 1 << 64)
DIGITS = 20  # of the largest
HALVES = re.compile("[\ud800-\udfff]")


def read(
    path: Path,
    schema: type[Schema],
    what: str,
    error: type[BadInput] = BadInput,
    limit: int = MAX_BYTES,
    required: tuple[str, ...] = (),
    upgrade: Callable[[Any, str], Any] | None = None,
) -> Schema:
    """Read a file of a schema.

    Args:
        path: a regular file (links to one are followed).
        schema: what it must hold.
        what: what messages call it: `card a/card.json`.
        error: what is raised.
        limit: bytes the file may have; it is not opened when it has more.
        required: keys that the file must hold although the schema has a default for them.
        upgrade: given the JSON values and `what`: the values of an older schema as those of this
            one, all others as they are.

    Raises:
        BadInput: `error`, in one line.
    """
    return parse(read_bytes(path, what, error, limit), schema, what, error, required, upgrade)


def read_bytes(path: Path, what: str, error: type[BadInput], limit: int) -> bytes:
    """The content of a regular file that is not larger than it may be.

    Raises:
        BadInput: `error`: missing, no regular file, too large, or it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a fifo is not waited for
    except OSError as problem:
        raise error(f"{what}: cannot be read: {problem.strerror}") from problem
    try:
        with os.fdopen(handle, "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise error(f"{what}: no regular file")
            if found.st_size > limit:
                raise error(f"{what}: {found.st_size} bytes, the limit is {limit}")
            return stream.read(limit)
    except OSError as problem:
        raise error(f"{what}: cannot be read: {problem.strerror}") from problem


def parse(
    content: bytes,
    schema: type[Schema],
    what: str,
    error: type[BadInput] = BadInput,
    required: tuple[str, ...] = (),
    upgrade: Callable[[Any, str], Any] | None = None,
) -> Schema:
    """The same from bytes that were read already.

    Raises:
        BadInput: `error`, in one line.
    """
    values = _loads(content, what, error)
    for key in required:
        if isinstance(values, dict) and key not in values:
            raise error(f"{what}: {key} is missing")
    if upgrade is not None:
        content = json.dumps(upgrade(values, what)).encode()
    try:
        return schema.model_validate_json(content, strict=True)
    except ValidationError as problem:
        raise error(f"{what}: {refusals(problem, schema)}") from problem


def _loads(content: bytes, what: str, error: type[BadInput]) -> Any:
    """JSON values within the limits that hold for every schema."""
    try:
        values = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_once,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_constant,
        )
        _check(values)
    except _Refused as problem:
        raise error(f"{what}: {problem}") from problem
    except RecursionError as problem:
        raise error(f"{what}: nested deeper than {MAX_DEPTH} levels") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{what}: not JSON: byte {problem.start} is no UTF-8") from problem
    except json.JSONDecodeError as problem:
        place = f"line {problem.lineno}, column {problem.colno}"
        raise error(f"{what}: not JSON: {problem.msg} ({place})") from problem
    return values


def validated(
    values: dict[str, Any],
    schema: type[Schema],
    what: str,
    error: type[BadInput] = BadInput,
    names: Mapping[str, str] | None = None,
) -> Schema:
    """Values that are no JSON, from a command line for example, as the schema.

    Args:
        values: by key.
        schema: what they must make.
        what: what messages call them.
        error: what is raised.
        names: how keys are called there, see `refusals`.

    Raises:
        BadInput: `error`, in one line.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as problem:
        raise error(f"{what}: {refusals(problem, schema, names)}") from problem


class _Refused(Exception):
    """What JSON allows and no file of ours holds."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Refused(f"key {_short(key)} stands twice in one object; keep one of them")
            seen.add(key)
    return found


def _integer(text: str) -> int:
    if len(text) > DIGITS + 1 or int(text) not in INTEGERS:
        raise _Refused(f"number {text[:DIGITS]}… has {len(text)} digits, beyond 64 bits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), -float("inf")):
        raise _Refused(f"number {text[:40]} is too large, need a finite one")
    return value


def _constant(text: str) -> NoReturn:
    raise _Refused(f"{text} is no finite number")


def _check(values: Any) -> None:
    """Depth, and text that cannot be written again, without recursion."""
    waiting: list[tuple[Any, int]] = [(values, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _Refused(f"nested deeper than {MAX_DEPTH} levels")
        for text in _texts(value):
            if HALVES.search(text):
                raise _Refused(f"text {_short(text)} holds half a character (a lone surrogate)")
        inside = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list)):
            waiting += [(one, depth + 1) for one in inside]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value


def _short(text: str) -> str:
    shown = json.dumps(text)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def known(registry: Mapping[str, object]) -> AfterValidator:
    """For the type of a field: a name of the registry, also one that was registered later."""

    def check(name: str) -> str:
        if name not in registry:
            names = {"expected": either(registry)}
            raise PydanticCustomError("literal_error", "Input should be {expected}", names)
        return name

    return AfterValidator(check)
