"""Projected gradient descent in any norm; FGSM and momentum are configurations of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import norms
from neurorobust.attacks.ascent import Ascent, Steady
from neurorobust.attacks.base import Claims, Proposal
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.budgets import NORMS, Budget
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Labels


@dataclass(frozen=True)
class Pgd(Claims):
    """`steps` steps of `reach * eps / steps` on the loss, projected, from a random start.

    The iterate that is misclassified (of several the one with the largest margin) is returned, each
    sample its own: a success at any iterate and restart is kept.
    Papers: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018
    (PGD); Goodfellow et al., ICLR 2015 (FGSM: one step of eps from x); Dong et al., "Boosting
    adversarial attacks with momentum", CVPR 2018 (MI-FGSM: decay 1, reach 1, from x). What a step
    is in each norm: `norms`.
    Threat model: white-box, eps of the norm in pixel units [0, 1].

    Attributes:
        name: on the command line and in records.
        norms: those it takes, of `budgets.NORMS`.
        steps: gradient steps a restart.
        reach: total path in units of eps (at 2.5 every start reaches every corner of the ball).
        restarts: random starts.
        draws: independent queries averaged inside each gradient where the encoder is random
            (expectation over transformation, Athalye et al., ICML 2018); otherwise there is one.
        loss: a name of `objectives.LOSSES`.
        mode: the backward mode.
        decay: of the momentum; 0: none.
        random_start: False: the first start is x.
        stop: leave a sample alone as soon as it is misclassified (faster; such examples are barely
            misclassified and carry over less to other networks).

    Raises:
        BadInput: no steps, no restart, or a reach, decay or norm that is none.
    """

    name: str = "pgd-linf"
    norms: tuple[str, ...] = ("linf",)
    steps: int = 40
    reach: float = 2.5
    restarts: int = 1
    draws: int = 10
    loss: str = "margin"
    mode: Mode = PLAIN
    decay: float = 0.0
    random_start: bool = True
    stop: bool = False
    kind = "eps"
    access = "white-box"
    control = False

    def __post_init__(self) -> None:
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise BadInput(f"{self.name}: {name} {getattr(self, name)} below 1")
        if not (self.reach > 0 and self.decay >= 0):
            raise BadInput(
                f"{self.name}: reach {self.reach} not above 0, or decay {self.decay} < 0"
            )
        unknown = [norm for norm in self.norms if norm not in NORMS]
        if unknown or not self.norms:
            raise BadInput(f"{self.name}: norms {self.norms}, known: {', '.join(NORMS)}")
        Gradient(self.mode, self.draws, self.loss)  # refuses what is not known

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
            BadInput: not an image budget of one of its norms, or a backend without gradients.
        """
        budget = norms.image_budget(self.name, budget, self.norms)
        if budget.epsilon == 0:
            return Proposal.untouched(x)
        size = self.reach * budget.epsilon / self.steps
        search = Ascent(
            Gradient(self.mode, self.draws, self.loss),
            self.steps,
            lambda: Steady(budget, size, self.decay),
            self.restarts,
            self.random_start,
            stop=self.stop,
        )
        return search.run(classifier, x, labels, budget, generator).proposal()

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the loss at x, averaged as in the attack."""
        source = Gradient(self.mode, self.draws, self.loss).start(classifier)
        return source(x, labels, generator)[0]
