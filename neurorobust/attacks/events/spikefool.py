"""SpikeFool: the nearest boundary of a linear model, reached by whole spikes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks import objectives
from neurorobust.attacks.feasible import Feasible, flip, largest
from neurorobust.attacks.gradients import Gradient, GradientSource
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class SpikeFool:
    """DeepFool finds the boundary, a greedy linear solver reaches it by flips; again and again.

    Outer iteration: DeepFool walks from the current spikes x to a boundary point x + r with the
    normal w there. The target is x + lam * r, and entries are flipped in the order of |w|, the
    feasible ones that point towards it, until the linear model says that it is crossed. Then the
    network is asked.
    Paper: Büchel et al., "Adversarial attacks on spiking convolutional neural networks for
    event-based vision", Frontiers in Neuroscience 16 (2022), after SparseFool (Modas et al., CVPR
    2019): lam 2, 20 outer iterations (15 on chip), 50 DeepFool steps, overshoot 0.02, step at least
    0.01. Our form: only the runner-up's boundary is linearised (one gradient a step); DeepFool's
    iterate is real-valued but every question is asked at its rounding, so that no network ever
    sees a fraction of a spike; on binary data, both sides (on the chip only insertions were
    replayed; a budget with `delete=0` is that); flips beyond the budget are cut by |w|.
    Threat model: white-box, a `SpikeBudget`.

    Attributes:
        outer: iterations.
        inner: steps of DeepFool.
        lam: how far beyond the boundary the target lies.
        overshoot: of DeepFool.
        least: smallest step of DeepFool, as L2 norm.
        mode: the backward mode.
    """

    outer: int = 20
    inner: int = 50
    lam: float = 2.0
    overshoot: float = 0.02
    least: float = 0.01
    mode: Mode = PLAIN
    name = "spikefool"
    kind = "flips"
    access = "white-box"
    control = False
    may_return_x = True

    def __call__(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        """Propose spikes uint8 `[batch, C, H, W, time]`.

        Raises:
            BadInput: not a spike budget, or a backend without gradients.
        """
        feasible = Feasible.of(self.name, x, budget)
        if feasible.budget.flips == 0 or len(x) == 0:
            return x.clone()
        source = Gradient(self.mode).start(classifier)
        return self.search(classifier, source, feasible, x, labels, generator)

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]

    def search(
        self,
        classifier: Classifier,
        source: GradientSource,
        feasible: Feasible,
        x: Tensor,
        labels: Labels,
        generator: torch.Generator,
    ) -> Tensor:
        """The attack on one batch; the first flips that break are kept."""
        mask, weight = torch.zeros_like(feasible.spikes), torch.zeros(feasible.spikes.shape)
        rows = torch.arange(len(x))
        for _ in range(self.outer):
            now = flip(x[rows], mask[rows])
            walk = DeepFool(classifier, source, self.inner, self.overshoot, self.least)
            reach, normal, broken = walk(now, labels[rows], generator)
            going = (~broken & normal.any(1)).nonzero().flatten()
            if len(going) < len(rows):
                source.keep(going)
                rows, now, reach, normal = rows[going], now[going], reach[going], normal[going]
            if not len(rows):
                break
            flips = crossing(feasible.rows(rows), now.flatten(1), normal, self.lam * reach)
            weight[rows] = torch.where(flips, normal.abs(), weight[rows])
            score = weight[rows].masked_fill(~(mask[rows] ^ flips), -torch.inf)
            before, mask[rows] = mask[rows], feasible.rows(rows).choose(score)
            going = (mask[rows] != before).any(1).nonzero().flatten()
            source.keep(going)
            rows = rows[going]  # the others were cut back to what they were: it would repeat
            if not len(rows):
                break
        return flip(x, mask)


@dataclass(frozen=True)
class DeepFool:
    """A walk to the nearest boundary, asked at roundings only (Moosavi-Dezfooli et al., CVPR 2016).

    A step that changes no rounding asks nothing: the network would say the same.

    Attributes:
        classifier: the target.
        source: of gradients of the normalised margin.
        steps: at most.
        overshoot: the point asked is x + (1 + overshoot) * r.
        least: smallest step, as L2 norm.
    """

    classifier: Classifier
    source: GradientSource
    steps: int
    overshoot: float
    least: float

    def __call__(
        self, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Walk from binary x.

        Returns:
            w . r, the length of the walk along its last normal, `[batch]`; the normal w
            `[batch, entries]`; and whether x itself is broken `[batch]`.
        """
        start = x.flatten(1).to(torch.float32)
        walked, point = torch.zeros_like(start), x
        normal, margin, broken = self._ask(point, labels, generator)
        at_start = broken
        for _ in range(self.steps):
            if bool(broken.all()):
                break
            length = normal.square().sum(1).clamp_min(1e-30)
            step = torch.maximum(margin.abs() / length, self.least / length.sqrt())
            walked += torch.where(broken, 0.0, step)[:, None] * normal
            moved = (start + (1 + self.overshoot) * walked).clamp(0, 1)
            rounded = (moved > 0.5).to(x.dtype).view(x.shape)
            if torch.equal(rounded, point):
                continue
            point = rounded
            normal, margin, broken = self._ask(point, labels, generator)
        return (normal * walked).sum(1), normal, at_start

    def _ask(
        self, point: Tensor, labels: Labels, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient and value of the normalised margin, and broken or not."""
        gradient, standing = self.source(point, labels, generator)
        with torch.no_grad():
            logits = self.source.classifier.logits(point, generator)
        margin = objectives.normalised_margin(logits, labels)
        return gradient.flatten(1), margin, standing.broken > 0


def crossing(feasible: Feasible, now: Tensor, normal: Tensor, distance: Tensor) -> Tensor:
    """The fewest flips that a linear model believes to go `distance` along `normal`, at least one.

    Args:
        feasible: of these samples.
        now: 0 and 1 `[n, entries]`.
        normal: `[n, entries]`.
        distance: `[n]`.

    Returns:
        bool `[n, entries]`: the allowed ones that point along the normal, largest first.
    """
    size = ((1 - 2 * now.to(torch.float32)) * normal).masked_fill(~feasible.allowed, 0).clamp_min(0)
    sums = size.sort(dim=1, descending=True).values.cumsum(1)
    needed = (sums < distance[:, None]).sum(1) + 1
    return largest(size.masked_fill(size == 0, -torch.inf), needed)
