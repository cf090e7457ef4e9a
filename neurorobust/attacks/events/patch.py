"""Universal patch: one rectangle of spikes for all samples, crafted on other samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.events.universal import halves
from neurorobust.attacks.events.windows import check_patch, window
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import PLAIN, Mode
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class UniversalPatch:
    """One rectangle with one content, at one place, for every sample.

    The place is the one with the largest sum of |mean g|, of `places` that overlap as little as
    possible each is tried. The content is binary: 1 where the accumulated mean gradient over the
    samples it is crafted on is above 0; the step that breaks most of them is kept.
    Paper: patches on event data in Büchel et al., Frontiers in Neuroscience 16 (2022); adversarial
    patches: Brown et al., 2017. Our form throughout.
    Threat model: white-box and other samples with labels, a `PatchBudget`. See universal.py.

    Attributes:
        steps: gradients a place.
        places: tried.
        mode: the backward mode.
    """

    steps: int = 15
    places: int = 4
    mode: Mode = PLAIN
    name = "patch-universal"
    kind = "patches"
    access = "white-box"
    control = False

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
            BadInput: not a patch budget, or a backend without gradients.
        """
        height, width = check_patch(self.name, x, budget)
        found = x.clone()
        if not height or not width:
            return found
        for own, other in halves(len(x)):
            place, content = self._craft(
                classifier, x[own], labels[own], (height, width), generator
            )
            found[other] = pasted(x[other], place, content)
        return found

    def gradient(
        self, classifier: Classifier, x: Tensor, labels: Labels, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the normalised margin with respect to the spikes."""
        return Gradient(self.mode).start(classifier)(x, labels, generator)[0]

    def _craft(
        self,
        classifier: Classifier,
        x: Tensor,
        labels: Labels,
        size: tuple[int, int],
        generator: torch.Generator,
    ) -> tuple[tuple[int, int], Tensor]:
        """Place (top, left) and content uint8 `[C, height, width, time]`."""
        source = Gradient(self.mode).start(classifier)
        gradient, _ = source(x, labels, generator)
        heat = gradient.mean(0).abs().sum((0, 3))
        best, record = ((0, 0), torch.zeros(0)), (-1.0, -torch.inf)
        for place in likely_places(heat, size, self.places):
            inside = (slice(None), *window(*place, *size))
            total = gradient[inside].mean(0)
            for _ in range(self.steps):
                content = (total > 0).to(x.dtype)
                slope, standing = source(pasted(x, place, content), labels, generator)
                reached = (float(standing.broken.mean()), float(standing.margin.mean()))
                if reached > record:
                    best, record = (place, content), reached
                mean = slope[inside].mean(0)
                total = total + mean
        return best


def pasted(x: Tensor, place: tuple[int, int], content: Tensor) -> Tensor:
    """The content in every sample of x, at (top, left); x stays as it is."""
    found = x.clone()
    channels, rows, columns = window(*place, content.shape[1], content.shape[2])
    found[:, channels, rows, columns] = content
    return found


def likely_places(heat: Tensor, size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Up to `count` places (top, left) of a window, the hottest first, each away from the others.

    Args:
        heat: `[H, W]`.
        size: of the window.
        count: at most.
    """
    sums = torch.nn.functional.avg_pool2d(heat[None, None], size, stride=1)[0, 0].clone()
    found: list[tuple[int, int]] = []
    while len(found) < count and bool((sums > -torch.inf).any()):
        top, left = divmod(int(sums.argmax()), sums.shape[1])
        found.append((top, left))
        rows, columns = (max(1, side // 2) for side in size)
        low = (max(0, top - rows + 1), max(0, left - columns + 1))
        sums[low[0] : top + rows, low[1] : left + columns] = -torch.inf
    return found
