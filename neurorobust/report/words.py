"""Numbers and names of a record as a reader would say them, the same on page and terminal."""

from __future__ import annotations

from typing import Any, Protocol

from neurorobust.backends.registry import find_target
from neurorobust.budgets import KINDS
from neurorobust.records import Record, RobustRate

NOTHING = "\N{EN DASH}"


class Counted(Protocol):
    """What `Rate`, `AttackRate` and `RobustRate` share."""

    @property
    def correct(self) -> int | float: ...  # noqa: D102
    @property
    def total(self) -> int | float: ...  # noqa: D102
    @property
    def interval(self) -> tuple[float, float]: ...  # noqa: D102


def count(value: float) -> str:
    """`9921` -> `9,921`; a sum of shares over draws with one decimal."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def percent(rate: Counted) -> str:
    """`99.2 %`; a dash where nothing was counted."""
    return f"{100 * rate.correct / rate.total:.1f} %" if rate.total else NOTHING


def interval(rate: Counted) -> str:
    """`99.0 to 99.4 %`, the 95 % Wilson interval; a dash where nothing was counted."""
    low, high = rate.interval
    return f"{100 * low:.1f} to {100 * high:.1f} %" if rate.total else NOTHING


def share(value: float | None) -> str:
    """A share in [0, 1] as a percentage; a dash where it does not apply."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def p_value(p: float) -> str:
    """`p = 0.012`, never a rounded zero."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def duration(seconds: float) -> str:
    """`3 min 20 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def backend(name: str) -> str:
    """A backend's name as a reader would say it.

    Raises:
        BadInput: it is not registered here; import the code that registers it.
    """
    return find_target(name).words


def attack(record: Record, name: str) -> str:
    """An attack's name; of a control it says so: `random (control)`."""
    return f"{name} (control)" if record.is_control(name) else name


def budget(kind: str, typed: str) -> str:
    """`ε = 0.1`, `12 flips`, `shifts reach=2`, `a 5x5 patch`."""
    return KINDS[kind].words(typed)


def spread(rate: RobustRate) -> str | None:
    """`61.2 to 62.0 %, mean 61.6 %`, over seeds; None: there was one."""
    if rate.spread is None:
        return None
    low, mean, high = (f"{100 * share:.1f}" for share in rate.spread)
    return f"{low} to {high} %, mean {mean} %"


def plural(number: int, noun: str) -> str:
    """`1 flip`, `12 flips`."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def listed(parts: list[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def settings(chosen: dict[str, Any]) -> list[tuple[str, str]]:
    """Settings of an attack or a training as pairs of words; an empty name where words suffice."""
    access = {
        "white-box": "white-box",
        "transfer": "knows another network",
        "score": "asks for scores",
        "decision": "asks for labels",
        "none": "knows nothing of the network",
    }
    domain = {"images": "changes pixels", "spikes": "flips spikes"}
    pairs = []
    for key, value in chosen.items():
        if key in ("control", "kind", "may_return_x", "name") or (key == "norms" and value):
            continue  # said beside it
        if key == "access" and str(value) in access:
            pairs.append(("", access[str(value)]))
        elif key == "domain" and str(value) in domain:
            pairs.append(("", domain[str(value)]))
        else:
            pairs.append((key.replace("_", " "), _plain(value)))
    return pairs


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
