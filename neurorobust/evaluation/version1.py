"""Records of version 1, which kept each kind of budget under a name of its own, as version 2."""

from __future__ import annotations

from typing import Any

from neurorobust.budgets import parse
from neurorobust.errors import BadInput

VERSION = 1
FIELDS = {
    "eps": "robust",
    "flips": "robust_flips",
    "shifts": "robust_shifts",
    "patches": "robust_patches",
}


def upgraded(values: Any, what: str) -> Any:
    """The JSON values of a record of version 1 as those of version 2, all others as they are.

    The numbers of a budget are read from its text, which is all that version 1 kept. What was asked
    is not known: `request` stays empty.

    Args:
        values: of a file; nobody vouches for them, and what they lack the schema will say.
        what: what messages call the file.

    Raises:
        BadInput: names the field whose budgets cannot be read.
    """
    if not isinstance(values, dict) or type(values.get("version")) is not int:
        return values
    if values["version"] != VERSION:
        return values
    kept = {name: value for name, value in values.items() if name not in FIELDS.values()}
    robust = {kind: _rates(kind, values.get(name, {}), what) for kind, name in FIELDS.items()}
    found = {kind: rates for kind, rates in robust.items() if rates}
    return {**kept, "version": VERSION + 1, "robust": found}


def _rates(kind: str, rates: Any, what: str) -> dict[str, Any]:
    """Each with its budget."""
    where = f"{what}: {FIELDS[kind]}"
    if not isinstance(rates, dict) or not all(isinstance(one, dict) for one in rates.values()):
        raise BadInput(f"{where}: need an object with an object for each budget")
    try:
        return {
            text: {**rate, "kind": kind, "text": text, "numbers": parse(kind, text).numbers}
            for text, rate in rates.items()
        }
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None
