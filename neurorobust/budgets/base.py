"""What a kind of budget is: what one sample may change, how it is typed, measured and kept to."""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from neurorobust.errors import BadInput

if TYPE_CHECKING:  # options and cards name budgets without torch
    from torch import Tensor

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Scale:
    """Budgets of one kind that can be ordered, hence share a table and a curve; in words.

    Attributes:
        name: among the scales of its kind: the norm of images; empty where there is one.
        symbol: heads a column.
        grows: what rises from row to row.
        axis: the same, under a curve.
        how: what the adversary may do, as a noun clause, for captions.
        may: the same as a verb, `{}` for the sizes as typed.
        under: where accuracy is said to hold, `{}` for one budget in words.
        legend: what the budgets of a table are, for those who read it for the first time.
        parts: what each word of a typed budget (`reach=`) means, of those that occur.
    """

    name: str
    symbol: str
    grows: str
    axis: str
    how: str
    may: str
    under: str
    legend: str
    parts: dict[str, str] = field(default_factory=dict)


class Budget(ABC):
    """What one sample may change. Subclasses are frozen dataclasses, one kind each."""

    kind: ClassVar[str]

    @property
    def numbers(self) -> dict[str, Any]:
        """Its fields by name, for records; `BudgetKind.of` makes the same budget of them."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    @property
    @abstractmethod
    def size(self) -> float:
        """A number to order budgets of one scale by: eps, flips, moves or area."""

    @property
    def whole(self) -> bool:
        """Whether its size is counted, not measured."""
        return True

    @property
    @abstractmethod
    def scale(self) -> Scale:
        """The budgets that it can be ordered among."""

    @abstractmethod
    def contains(self, small: Budget) -> bool:
        """Whether all that `small` allows is allowed here too, as far as their limits say."""

    def resized(self, value: float) -> Budget | None:
        """The same budget of another `size`; None where one number does not say which."""
        return None

    def scaled(self, share: float) -> Budget:
        """A share of it, rounded down where it is counted; as it is where it has no such share."""
        value = self.size * share
        found = self.resized(float(int(value)) if self.whole else value)
        return self if found is None else found

    @abstractmethod
    def project(self, proposal: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The point of the budget that stands for a proposal; see `budgets.project`."""


@dataclass(frozen=True)
class BudgetKind:
    """One kind of budget, and all that varies with it.

    Attributes:
        budget: its class, which names it: the option (`--eps`), attacks' `kind`, records and files.
        domain: of the attacks that it bounds: `images` or `spikes`.
        examples: how it is typed; the first one is for messages.
        option: what the help page says of its option.
        about: what one sample may change.
        heading: of the list of its attacks.
        attack: one to suggest.
        compared_by: the white-box attack that compares a float network with its deployed one.
        parse: from what was typed; raises `BadInput`.
        words: one budget as typed -> as a reader would say it.
        scales: in the order of their tables.
    """

    budget: type[Budget]
    domain: str
    examples: tuple[str, ...]
    option: str
    about: str
    heading: str
    attack: str
    compared_by: str
    parse: Callable[[str], Budget]
    words: Callable[[str], str]
    scales: tuple[Scale, ...]

    @property
    def name(self) -> str:
        """Of the option, of attacks' `kind`, in records and file names."""
        return self.budget.kind

    def of(self, numbers: Mapping[str, Any]) -> Budget:
        """The budget of these fields, as `Budget.numbers` gives them.

        Raises:
            BadInput: a field too many or too few, or a value of another type.
        """
        from pydantic import BaseModel, TypeAdapter, ValidationError

        from neurorobust.support.refusals import refusals

        known = [one.name for one in dataclasses.fields(self.budget)]  # type: ignore[arg-type]
        for name in numbers:
            if name not in known:
                raise BadInput(f"{self.name}: {name} is unknown, known: {', '.join(known)}")
        try:
            return TypeAdapter(self.budget).validate_json(json.dumps(numbers), strict=True)
        except ValidationError as error:
            raise BadInput(f"{self.name}: {refusals(error, BaseModel)}") from None


def fields(kind: str, text: str, typed: str) -> dict[str, str]:
    """`a=1+b=2` -> {"a": "1", "b": "2"}.

    Raises:
        BadInput: another form, or a name given twice; names `text`.
    """
    found: dict[str, str] = {}
    for word in filter(None, typed.split("+")):
        name, equals, value = word.partition("=")
        if not equals or name in found:
            raise BadInput(f"{kind} {text!r}: {word!r} is no name=value, or a name given twice")
        found[name] = value
    return found


def taken(
    words: dict[str, str], names: tuple[str, ...], read: Callable[[str], _Value]
) -> dict[str, _Value]:
    """The values of some names, read, and gone from `words`."""
    return {name: read(words.pop(name)) for name in names if name in words}


def count(kind: str, text: str, number: str) -> int:
    """A whole number of at least 0.

    Raises:
        BadInput: names `text`.
    """
    try:
        value = int(number)
    except ValueError:
        raise BadInput(f"{kind} {text!r}: not a whole number") from None
    if value < 0:
        raise BadInput(f"{kind} {text!r}: below 0")
    return value


def within(small: int | None, large: int | None, otherwise: int | None = None) -> bool:
    """Whether one limit is inside another; None: no limit, that is `otherwise` for the small."""
    if large is None:
        return True
    known = small if small is not None else otherwise
    return known is not None and known <= large
