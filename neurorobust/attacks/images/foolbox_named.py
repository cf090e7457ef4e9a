"""Any attack of Foolbox by its name: `foolbox:HopSkipJump`, `foolbox:LinfDeepFoolAttack`."""

from __future__ import annotations

import inspect
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.global_seeding import seeded
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.attacks.oracle import Done, Oracle, Unknown
from neurorobust.attacks.queries import report
from neurorobust.budgets import NORMS, Budget, project
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput, NeuroRobustError
from neurorobust.types import Labels

PREFIX = "foolbox:"
PIXELS = (0.0, 1.0)  # bounds of x, before any normalisation: that is the encoder's
POWERS = {0.0: "l0", 1.0: "l1", 2.0: "l2", float("inf"): "linf"}

# Foolbox has no class for it: attacks that ask for labels alone, and those that ask for scores.
# All others differentiate.
DECISION = (
    "BaseAdditiveNoiseAttack",
    "BaseRepeatedAdditiveNoiseAttack",
    "L2ContrastReductionAttack",
    "BinarySearchContrastReductionAttack",
    "LinearSearchContrastReductionAttack",
    "LinearSearchBlendedUniformNoiseAttack",
    "InversionAttack",
    "GaussianBlurAttack",
    "SaltAndPepperNoiseAttack",
    "BoundaryAttack",
    "HopSkipJumpAttack",
    "PointwiseAttack",
)
SCORE = ("GenAttack",)
NEEDS = {"DatasetAttack": "a data set", "BinarizationRefinementAttack": "starting points"}


def foolbox_class(name: str) -> Any:
    """A class of `foolbox.attacks`, its last word "Attack" may be left out.

    Raises:
        BadInput: no such attack, or one that needs more than an image and a budget.
    """
    import foolbox.attacks as known

    kind: Any = None
    for spelled in (name, f"{name}Attack"):
        kind = getattr(known, spelled, None)
        if inspect.isclass(kind) and issubclass(kind, known.base.AttackWithDistance):
            break
    else:
        raise BadInput(
            f"attack '{PREFIX}{name}': no such attack with a distance in foolbox.attacks"
        )
    required = [each.name for each in inspect.signature(kind).parameters.values() if _needed(each)]
    missing = NEEDS.get(kind.__name__) or next(iter(required), None)
    if missing:
        raise BadInput(f"attack '{PREFIX}{name}': needs {missing}, which a name does not give")
    return kind


def _needed(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty and parameter.kind in (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )


@dataclass(frozen=True)
class FoolboxAttack(Claims):
    """An attack of Foolbox with its authors' parameters.

    Runs on an `Oracle`: what is misclassified inside the budget at any query is kept, so attacks
    that search for the smallest change serve a fixed budget as well as those made for one. Random
    numbers are drawn for the whole batch. An attack that cannot start on a batch (a boundary attack
    that finds no first point) tries sample by sample; a sample where it still cannot stays x.
    Paper: Rauber et al., "Foolbox Native", JOSS 5 (2020), and the attack's own.
    Threat model: white-box, score- or decision-based, see `DECISION` and `SCORE`; the norm is that
    of the attack's distance.

    Attributes:
        attack: name of the class in `foolbox.attacks`.
        queries: of one sample, at most, where the attack is score- or decision-based.
        draws: independent queries averaged in each answer of a random encoder (white-box).
        mode: the backward mode.

    Raises:
        BadInput: no such attack, or no query.
    """

    attack: str
    queries: int = 5000
    draws: int = 10
    mode: Mode = PLAIN
    kind = "eps"
    control = False

    def __post_init__(self) -> None:
        foolbox_class(self.attack)
        if self.queries < 1:
            raise BadInput(f"{self.name}: queries {self.queries} below 1")

    @property
    def name(self) -> str:
        """As on the command line."""
        return PREFIX + self.attack

    @property
    def access(self) -> str:
        """One of `base.ACCESS`."""
        parents = [parent.__name__ for parent in foolbox_class(self.attack).__mro__]
        if any(parent in SCORE for parent in parents):
            return "score"
        return "decision" if any(parent in DECISION for parent in parents) else "white-box"

    @property
    def may_return_x(self) -> bool:
        """Whether it looks for the smallest change: it does where Foolbox lets it stop early."""
        from foolbox.attacks.base import FixedEpsilonAttack

        return not issubclass(foolbox_class(self.attack), FixedEpsilonAttack)

    @property
    def norms(self) -> tuple[str, ...]:
        """The norm of its distance; all where Foolbox leaves the distance open."""
        made = _make(self.attack)
        return NORMS if _open(made) else (POWERS[float(made.distance.p)],)

    def propose(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Proposal:
        """Images `[batch, C, H, W]`, float32 in [0, 1], and which it found misclassified.

        Raises:
            BadInput: not a budget of its norm, or a white-box attack on a backend without
                gradients.
        """
        budget = norms.image_budget(self.name, budget, self.norms)
        if budget.epsilon == 0 or not len(x):
            return Proposal.untouched(x)
        from foolbox.distances import LpDistance

        if self.access == "white-box" and not classifier.differentiable:
            raise BadInput(f"{self.name}: backend {classifier.backend.name} has no gradients")
        power = next(power for power, norm in POWERS.items() if norm == budget.norm)
        attack = _make(self.attack)
        if _open(attack):
            attack._distance = LpDistance(power)
        asks = self.access != "white-box"
        oracle = Oracle(
            classifier,
            x,
            labels,
            budget,
            generator,
            self.mode,
            draws=1 if asks else self.draws,
            limit=self.queries if asks else None,
            decision=self.access == "decision",
        )
        with seeded(generator), suppress(Done):
            why = _try(attack, oracle)
            if why and not int(oracle.used.sum()):
                raise BadInput(f"{self.name}: cannot be run: {why}")
            if why:
                for row in range(len(x)):
                    one = oracle.for_sample(row)
                    with suppress(Done):
                        _try(attack, one)
                    oracle.take_over(row, one)
        report(classifier, oracle.used)
        return oracle.best.proposal()


def _make(name: str) -> Any:
    """The attack with its authors' parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one warns that it will be compiled
        return foolbox_class(name)()


def _open(attack: Any) -> bool:
    """Whether Foolbox leaves the distance to the caller."""
    from foolbox.attacks.base import FlexibleDistanceMinimizationAttack

    flexible = isinstance(attack, FlexibleDistanceMinimizationAttack)
    return flexible and getattr(attack, "_distance", None) is None


def _try(attack: Any, oracle: Oracle) -> str:
    """Run it on all samples at once; why it cannot, or nothing."""
    from foolbox.attacks.base import FixedEpsilonAttack
    from foolbox.criteria import Misclassification
    from foolbox.models.pytorch import PyTorchModel

    x, epsilon = oracle.x, oracle.budget.epsilon
    fixed = isinstance(attack, FixedEpsilonAttack)
    options = {"epsilon": epsilon} if fixed else {"early_stop": epsilon}
    model = PyTorchModel(oracle, bounds=PIXELS, device=x.device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where a sample cannot be started
            found = attack.run(model, x, Misclassification(oracle.labels), **options)
    except NeuroRobustError:
        raise
    except (Unknown, ValueError, AssertionError) as error:  # a sample that it cannot start on
        return str(error) or type(error).__name__
    with torch.no_grad():
        oracle(project(found.detach(), x, oracle.budget)[0])
    return ""
