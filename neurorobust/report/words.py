"""Numbers of a record -> plain words, the same on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

from neurorobust.errors import BadInput
from neurorobust.records import Comparison, Confirmation, Record, RobustRate

SIGNIFICANT = 0.05
NOT_A_CHIP = "lava"
BACKENDS = {
    "engine": "neurorobust's engine",
    "reference": "the reference loops",
    "slayer": "SLAYER",
    NOT_A_CHIP: "Lava's fixed-point simulation",
    "loihi2": "the Loihi 2 board",
}


class Counted(Protocol):
    """What `Rate`, `AttackRate` and `RobustRate` share."""

    @property
    def correct(self) -> int: ...  # noqa: D102
    @property
    def total(self) -> int: ...  # noqa: D102
    @property
    def interval(self) -> tuple[float, float]: ...  # noqa: D102


def count(value: int) -> str:
    """`9921` -> `9,921`."""
    return f"{value:,}"


def percent(rate: Counted) -> str:
    """`99.2 %`; a dash where nothing was counted."""
    return f"{100 * rate.correct / rate.total:.1f} %" if rate.total else "–"


def interval(rate: Counted) -> str:
    """`99.0 to 99.4 %`, the 95 % Wilson interval; a dash where nothing was counted."""
    low, high = rate.interval
    return f"{100 * low:.1f} to {100 * high:.1f} %" if rate.total else "–"


def share(value: float | None) -> str:
    """A share in [0, 1] as a percentage; a dash where it does not apply."""
    return "–" if value is None else f"{100 * value:.1f} %"


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
    """A backend's name as a reader would say it."""
    return BACKENDS.get(name, name)


def is_control(attack: str) -> bool:
    """Whether an attack is blind noise, there to be beaten."""
    return attack.startswith("random")


def strength(typed: str) -> float:
    """The number behind an ε as typed (`0.1`, `8/255`) or a number of flips."""
    try:
        top, slash, bottom = typed.partition("/")
        return float(Fraction(top.strip()) / Fraction(bottom.strip() if slash else 1))
    except (ValueError, ZeroDivisionError):
        raise BadInput(f"record: budget {typed!r} is not a number like 0.1 or 8/255") from None


def by_strength(rates: dict[str, RobustRate]) -> list[tuple[str, RobustRate]]:
    """Budgets from weak to strong."""
    return sorted(rates.items(), key=lambda item: strength(item[0]))


def plural(number: int, noun: str) -> str:
    """`1 flip`, `12 flips`."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def flips(typed: str) -> str:
    """`1 flip`, `12 flips`, from the number as typed."""
    return f"{typed} flip" + ("" if strength(typed) == 1 else "s")


def listed(parts: list[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def verdict(record: Record) -> str:
    """One sentence: right when nobody interferes, right under attack, where it ran, what Lava said."""
    parts = [
        f"{record.model} answers {count(record.clean.correct)} of {count(record.clean.total)} "
        f"unchanged inputs correctly ({percent(record.clean)}, 95 % interval {interval(record.clean)})"
    ]
    for rates, place in ((record.robust, "at ε = {}"), (record.robust_flips, "with {}")):
        survivals = [
            f"{percent(rate)} {place.format(flips(typed) if rates is record.robust_flips else typed)} "
            f"({interval(rate)})"
            for typed, rate in by_strength(rates)
        ]
        if survivals:
            parts.append(f"under the worst attack tried it still answers {listed(survivals)}")
    parts.append(where(record))
    if record.confirmed is not None:
        parts.append(confirmation(record.confirmed))
    return "; ".join(parts) + "."


def where(record: Record) -> str:
    """Where the answers come from."""
    return f"where it ran: {record.target}"


def confirmation(confirmed: Confirmation) -> str:
    """`32 of 32 replayed inputs were confirmed in Lava's fixed-point simulation, spike for spike`."""
    few = (
        f" ({count(confirmed.requested)} were asked for)"
        if confirmed.replayed != confirmed.requested
        else ""
    )
    return (
        f"{count(confirmed.identical)} of {count(confirmed.replayed)} replayed inputs{few} "
        f"{'was' if confirmed.replayed == 1 else 'were'} confirmed in {backend(confirmed.backend)}, "
        "spike for spike"
    )


def is_confirmed(confirmed: Confirmation) -> bool:
    """Whether everything asked for was replayed and came out equal."""
    return (
        confirmed.first_difference is None
        and confirmed.identical == confirmed.replayed == confirmed.requested
    )


def explain(comparison: Comparison) -> Iterator[str]:
    """What a 2x2 says, sentence by sentence."""
    rates = {(cell.crafted, cell.scored): cell.success for cell in comparison.cells}
    own, misled = rates.get(("float", "float")), rates.get(("float", "deployed"))
    if own is not None and misled is not None:
        yield (
            f"Inputs crafted against the float network break it {percent(own)} of the time; carried "
            f"over to the deployed network, the same inputs break that one {percent(misled)} of the time."
        )
    direct = rates.get(("deployed", "deployed"))
    if direct is not None and misled is not None:
        yield (
            f"An adversary who attacks the deployed network itself reaches {percent(direct)}: "
            + _judged(misled, direct)
        )
    yield (
        f"Rounding to the chip's integers alone, without any attack, changed the answer for "
        f"{count(comparison.flips)} of {count(comparison.clean_deployed.total)} inputs."
    )
    only_float, only_deployed = comparison.discordant
    yield (
        f"{plural(only_float, 'input')} survived only on the float network and "
        f"{count(only_deployed)} only on the deployed one (exact McNemar test, "
        f"{p_value(comparison.mcnemar_p)}): {_tested(comparison)}"
    )


def _judged(misled: Counted, direct: Counted) -> str:
    if misled.interval[1] < direct.interval[0]:
        return "testing with inputs crafted on the float network would overstate its robustness."
    if direct.interval[1] < misled.interval[0]:
        return (
            "less than what carries over, which a direct attack should not; its gradients may be "
            "misleading."
        )
    return "the intervals of the two overlap, so no difference is shown."


def _tested(comparison: Comparison) -> str:
    only_float, only_deployed = comparison.discordant
    if comparison.mcnemar_p >= SIGNIFICANT:
        return "these counts do not show that one resists better than the other."
    better, worse = ("float", "deployed") if only_float > only_deployed else ("deployed", "float")
    return f"each attacked with full knowledge, the {better} network resists better than the {worse} one."
