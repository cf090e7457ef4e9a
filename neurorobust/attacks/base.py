"""What an attack is: it proposes, it never grades itself."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from neurorobust.budgets import KINDS, Budget, ImageBudget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels

# white-box: all of the network, its gradients included; transfer: all of another network; score:
# logits of what is asked; decision: labels of what is asked; none: nothing is known, nothing asked
ACCESS = ("white-box", "transfer", "score", "decision", "none")


class Attack(Protocol):
    """Proposes a perturbed x.

    Attributes:
        name: its name on the command line and in records.
        kind: of the budget it takes, one of `budgets.KINDS`; that also says whether it acts on
            images or on spikes.
        access: what it knows of the network, one of `ACCESS`; `white-box` needs a backend with
            gradients, every other runs on any.
        control: blind noise, there to be beaten.

    Two more attributes may be there: `norms`, the norms that it takes (without it: all), and
    `may_return_x`, true where x itself is a sound proposal, because the attack looks for the
    smallest change or keeps nothing but what succeeds. Of any other attack it is a sign that it
    does not work (`checks`).
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def kind(self) -> str:
        """See above."""
        ...

    @property
    def access(self) -> str:
        """See above."""
        ...

    @property
    def control(self) -> bool:
        """See above."""
        ...

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose `[batch, ...]` of x's shape and dtype; x is not changed in place.

        All randomness comes from `generator`; a zero budget returns x. The evaluation projects and
        scores it.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What an attack that keeps account returns.

    Attributes:
        x: as `Attack.__call__` returns it.
        claimed: bool `[batch]`, it believes that the sample is broken. The evaluation counts claims
            that the re-run does not bear out.
    """

    x: Tensor
    claimed: Tensor

    @staticmethod
    def untouched(x: Tensor) -> Proposal:
        """A copy of x, and nothing claimed."""
        return Proposal(x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device))


@runtime_checkable
class ClaimingAttack(Attack, Protocol):
    """An attack that says what it believes to have broken."""

    def propose(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Proposal:
        """What `__call__` returns, with its claims."""
        ...


class Claims:
    """The call of an attack that keeps account: what it proposes, without its claims."""

    def __call__(
        self: ClaimingAttack,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """See `Attack.__call__`; raises what `propose` raises."""
        return self.propose(classifier, x, labels, budget, generator).x


@runtime_checkable
class GradientAttack(Attack, Protocol):
    """An attack that follows a gradient, and shows the one it starts with."""

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the attack's objective at x, of x's shape, float32; x is not changed."""
        ...


@runtime_checkable
class CheckedAttack(Attack, Protocol):
    """An attack that not every network, image size or budget suits; asked before any work."""

    def check(self, classifier: Classifier, shape: tuple[int, ...], budget: Budget) -> None:
        """Raise what a call would raise on samples of that shape `(channel, height, width)`.

        Raises:
            BadInput: it cannot be run; says what is missing.
        """
        ...


def domain(attack: Attack) -> str:
    """`images` or `spikes`: what it perturbs."""
    return KINDS[attack.kind].domain


def takes(attack: Attack, budget: Budget) -> bool:
    """Whether an attack on that kind of budget knows what to do with its norm."""
    norms = getattr(attack, "norms", None)  # those that know them all need not say so
    return norms is None or not isinstance(budget, ImageBudget) or budget.norm in norms


def settings(attack: Attack) -> dict[str, Any]:
    """What a record says of an attack: its domain, budget, access and its parameters."""
    parameters: dict[str, Any] = {}
    if dataclasses.is_dataclass(attack):
        names = (field.name for field in dataclasses.fields(attack))
        parameters = {name: _plain(getattr(attack, name)) for name in names}
    return {
        "domain": domain(attack),
        "kind": attack.kind,
        "access": attack.access,
        "control": attack.control,
        "may_return_x": bool(getattr(attack, "may_return_x", False)),
        **parameters,
    }


def _plain(value: Any) -> Any:
    """What JSON can hold: a mode by its name, which says its parameters; an attack by all of it."""
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, Classifier):
        return f"{value.backend.name} {value.backend.model.sha256[:12]}"
    if dataclasses.is_dataclass(value) and hasattr(value, "access"):
        attack: Any = value
        return {"name": attack.name, **settings(attack)}
    name = getattr(value, "name", None)
    return name if isinstance(name, str) else value
