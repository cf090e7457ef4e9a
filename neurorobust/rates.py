"""Counts with their intervals, and what else of an evaluation is counted: parts of a record."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from neurorobust.budgets import KINDS, Budget
from neurorobust.statistics import wilson
from neurorobust.support import schema


class Strict(BaseModel):
    """Knows all its fields and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _writable(text: Any) -> Any:
    r"""Bytes of a file's name that are no UTF-8 as `\udcff`: a record can be written with them."""
    return text.encode("utf-8", "backslashreplace").decode() if isinstance(text, str) else text


Text = Annotated[str, BeforeValidator(_writable)]  # from a command line or the name of a file


class Rate(Strict):
    """A count with its 95 % Wilson interval.

    Where a random encoder was judged by several draws a count is the sum over samples of the share
    of draws that count, and need not be whole. The interval is over samples: draws are none. (A
    share varies less than a coin of the same mean, so Wilson's interval is rather too wide there.)
    """

    correct: int | float
    total: int | float
    interval: tuple[float, float]


def rate(correct: int | float, total: int | float) -> Rate:
    """A count with its interval."""
    return Rate(correct=correct, total=total, interval=wilson(correct, total))


class AttackRate(Strict):
    """One attack at one budget. `correct`: samples right both clean and attacked."""

    correct: int | float
    total: int
    interval: tuple[float, float]
    success: Rate  # `correct` = broken among the samples that were right when clean
    zero_gradient: float | None = (
        None  # share of samples whose gradient is all zero at the start point
    )
    seconds: float
    failed: int = 0  # proposals not finite, not binary or of a wrong shape: counted as no success
    projected: int = 0  # proposals outside the budget, projected back by the evaluation
    unconfirmed: int = 0  # successes that the attack claimed and the re-run did not show
    unchanged: int = 0  # samples, right when clean, for which the proposal was x itself (any seed)
    asked: int | None = None  # member of a recipe: samples that were still standing; None: all
    beyond: int | None = (
        None  # without gradients: broken, and by no white-box attack, from any seed
    )
    queries: int | None = None  # asked of the network, over all samples; None: not counted


class RobustRate(Strict):
    """Worst case over attacks (and seeds), per sample; wrong when clean counts as not robust.

    Where a random encoder draws, one proposal for each sample is selected by some draws and scored
    by others, the same for x and every proposal.

    kind, text, numbers: the budget, one of `budgets.KINDS`, as typed, and as its fields by name.
    """

    kind: Annotated[str, schema.known(KINDS)]
    text: str
    numbers: dict[str, Any]
    correct: int | float
    total: int
    interval: tuple[float, float]
    by_attack: dict[str, AttackRate]
    carried: int = 0  # recipe: broken by what was found at a smaller budget, which lies in this one
    white_box: int = 0  # recipe: broken by its white-box members, from any seed, carried included
    by_seed: dict[str, Rate] = Field(default_factory=dict)  # several seeds: each one's worst case

    _budget: Budget = PrivateAttr()

    def model_post_init(self, _: Any) -> None:
        """Refuse numbers that make no budget of the kind."""
        self._budget = KINDS[self.kind].of(self.numbers)

    @property
    def budget(self) -> Budget:
        """What one sample may change."""
        return self._budget

    @property
    def place(self) -> str:
        """`eps 8/255`."""
        return f"{self.kind} {self.text}"

    @property
    def spread(self) -> tuple[float, float, float] | None:
        """Share still right over seeds: smallest, mean, largest; None: one seed."""
        shares = [rate.correct / rate.total for rate in self.by_seed.values() if rate.total]
        return (min(shares), sum(shares) / len(shares), max(shares)) if shares else None


class Minimum(Strict):
    """The smallest budget found that breaks each sample, over those right when clean.

    `median` counts samples that nothing broke as infinitely far: None where that is most of them.
    `steps`: (budget, samples still standing at it), budgets rising; drawn as a staircase.
    """

    total: int
    broken: int
    largest: float  # budget tried
    median: float | None
    steps: tuple[tuple[float, int], ...]


class Targeted(Strict):
    """Attacks that must reach one class each, drawn at random among the wrong ones."""

    kind: str
    budget: str
    by_attack: dict[str, Rate]  # `correct` = reached, among the samples right when clean


class Probe(Strict):
    """One attack on a few samples with one setting changed: what its success depends on.

    what: `width` of the surrogate, `scale` of the logits, `steps`.
    """

    what: Literal["width", "scale", "steps"]
    attack: str
    kind: str
    budget: str
    settings: tuple[str, str]
    broken: tuple[int, int]  # by each setting
    differ: int  # samples that one setting breaks and the other does not
    total: int


class Recipe(Strict):
    """A fixed, versioned list of attacks; survivors of one go on to the next."""

    name: str
    members: tuple[str, ...]
    strongest: str | None = None  # backward mode that broke most validation samples
    chosen_on: str | None = None  # the validation samples; None: there were none
    chosen_by: dict[str, Rate] = Field(default_factory=dict)  # mode -> validation samples broken
