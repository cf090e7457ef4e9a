"""What a schema refuses, in plain words: the key, its value, the limit, what would do.

No sentence of the library that checks the schema is passed on: each kind of refusal has one here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

MOST = 3  # refusals in one line

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "dict": "an object",
    "list": "a list",
    "tuple": "a list",
    "model": "an object",
}
_TYPES = {
    f"{kind}_{ending}": words
    for kind, words in _KINDS.items()
    for ending in ("type", "parsing", "from_float", "parsing_size")
} | {"model_attributes_type": "an object", "finite_number": "a finite number"}
_LIMITS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}


def refusals(
    error: ValidationError,
    schema: type[BaseModel],
    names: Mapping[str, str] | None = None,
) -> str:
    """All that was refused, in one line.

    Args:
        error: what pydantic raised.
        schema: what it checked.
        names: how a key is called where the values come from, by its place in the schema:
            `{"encoder.mean": "--mean"}`. A key without a name is called by its place.
    """
    found = error.errors(include_url=False)
    lines = [_line(one, schema, names or {}) for one in found[:MOST]]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return "; ".join(lines + more)


def _line(one: ErrorDetails, schema: type[BaseModel], names: Mapping[str, str]) -> str:
    kind, limits = one["type"], one.get("ctx", {})
    place = ".".join(_short(str(part)) for part in one["loc"])
    key = names.get(place, place) or "it"
    is_ = f"{key} is {_shown(one['input'])}"
    if kind == "missing":
        return f"{key} is missing{_wanted(one['loc'], schema)}"
    if kind == "extra_forbidden":
        return f"{key} is unknown{_known(one['loc'], schema)}"
    if kind == "literal_error":
        return f"{is_}, need {_expected(limits)}"
    if kind in _LIMITS:
        bound, words = _LIMITS[kind]
        return f"{is_}, need {words} {limits[bound]:g}"
    if kind in _TYPES:
        return f"{is_}, need {_TYPES[kind]}"
    if kind == "value_error":  # a rule of our own schema, in its own words
        return f"{key}: {limits['error']}" if place else str(limits["error"])
    if kind in ("too_short", "too_long"):
        bound = "min_length" if kind == "too_short" else "max_length"
        words = "at least" if kind == "too_short" else "at most"
        return f"{key} has {limits['actual_length']} entries, need {words} {limits[bound]}"
    return f"{is_}, which the schema does not allow there"


def _expected(limits: Mapping[str, Any]) -> str:
    """`'a', 'b' or 'c'` -> `a, b or c`."""
    return str(limits["expected"]).replace("'", "")


def _known(place: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    """The key that was meant, or all there are; empty where the place is not one of a schema."""
    fields = _fields(place[:-1], schema)
    close = difflib.get_close_matches(str(place[-1]), fields, 1)
    if close:
        return f", did you mean {close[0]}?"
    return f", known: {', '.join(fields)}" if fields else ""


def _wanted(place: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    """What a missing key holds, as the schema describes it; empty where it does not."""
    field = _fields(place[:-1], schema).get(str(place[-1]))
    return "" if field is None or field.description is None else f" ({field.description})"


def _fields(place: tuple[int | str, ...], schema: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields of the schema at a place; none where no schema of its own stands there."""
    fields: Mapping[str, FieldInfo] = schema.model_fields
    for part in place:
        field = fields.get(str(part))
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return {}
        fields = inner.model_fields
    return fields


def _shown(value: Any) -> str:
    """A value as it stands in JSON, shortened; of containers only what they are."""
    if isinstance(value, (dict, BaseModel)):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    return _short(json.dumps(value, default=str))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
