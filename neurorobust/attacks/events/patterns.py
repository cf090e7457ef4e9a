"""Patterns shaped for a sensor: what a dirty lens or a laser pointer could do. Query only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.best import Best
from neurorobust.attacks.feasible import Feasible, flip
from neurorobust.attacks.flip_queries import FlipQueries
from neurorobust.attacks.queries import report
from neurorobust.budgets import Budget
from neurorobust.classifier import Classifier
from neurorobust.types import Labels


@dataclass(frozen=True)
class Corner:
    """Events in a square in one of the corners, growing from it, at every step.

    Insertions only. The budget is spent on the pixels nearest to the corner, all of their steps.
    Each corner is asked with either polarity and with both; the best is kept.
    Paper: Marchisio et al., "DVS-Attacks", IJCNN 2021. Our form: a budget on flips decides how far
    a pattern reaches; they paint it whole.
    Threat model: score access, at most 4 * (channels + 1) queries, a `SpikeBudget`.
    """

    name = "corner"
    kind = "flips"
    access = "score"
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
            BadInput: not a spike budget.
        """
        feasible = Feasible.of(self.name, x, budget)
        if feasible.budget.flips == 0 or len(x) == 0:
            return x.clone()
        flip_queries, best = FlipQueries(classifier, x, labels, generator), Best.start(x)
        channels, height, width, steps = x.shape[1:]
        for order in self.orders(height, width, steps):
            for only in (None, *range(channels)) if channels > 1 else (None,):
                score = order.expand(channels, height, width, steps).clone()
                if only is not None:
                    score[torch.arange(channels) != only] = -torch.inf
                wanted = score.flatten().expand_as(feasible.spikes)
                mask = feasible.choose(wanted.masked_fill(feasible.spikes, -torch.inf))
                best.update(flip(x, mask), flip_queries(mask))
        report(classifier, flip_queries.asked)
        return best.x

    def orders(self, height: int, width: int, steps: int) -> list[Tensor]:
        """Scores `[height, width, steps]` of each variant: what is larger is painted first."""
        row, column = _grid(height, width)
        found = []
        for up in (row, height - 1 - row):
            for along in (column, width - 1 - column):
                found.append(-torch.maximum(up, along)[..., None].expand(-1, -1, steps).clone())
        return found


@dataclass(frozen=True)
class Frame(Corner):
    """Events along the border of the sensor, at every step: see `Corner`.

    The budget is spent on the outermost ring, from the first row on or in an even mixture of its
    pixels, then on the next ring.
    Threat model: score access, at most 2 * (channels + 1) queries, a `SpikeBudget`.
    """

    name = "frame"

    def orders(self, height: int, width: int, steps: int) -> list[Tensor]:
        """As `Corner.orders`."""
        row, column = _grid(height, width)
        ring = torch.minimum(
            torch.minimum(row, height - 1 - row), torch.minimum(column, width - 1 - column)
        )
        mixed = ((row * 0.6180339887 + column * 0.7548776662) % 1) * 0.9  # an even spread
        plain = row / height * 0.9
        return [-(ring + part)[..., None].expand(-1, -1, steps).clone() for part in (plain, mixed)]


@dataclass(frozen=True)
class Dash(Corner):
    """A short line that moves over the sensor, one pixel a step: see `Corner`.

    It never stays where it was, so that filters for pixels that fire all the time do not see it.
    The line is as long as the budget allows. Asked in both directions, in two rows and two columns
    (a third and two thirds into the sensor).
    Threat model: score access, at most 8 * (channels + 1) queries, a `SpikeBudget`.
    """

    name = "dash"

    def orders(self, height: int, width: int, steps: int) -> list[Tensor]:
        """As `Corner.orders`."""
        row, column = _grid(height, width)
        found = []
        for along, across, size, rows in (
            (column, row, width, height),
            (row, column, height, width),
        ):
            for line in (rows // 3, 2 * rows // 3):
                for sign in (1, -1):
                    head = sign * torch.arange(steps) + (0 if sign > 0 else size - 1)
                    behind = (sign * (head - along[..., None])) % size
                    found.append(-(behind + size * (across - line).abs()[..., None]).float())
        return found


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, float `[height, width]` each."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return row.float(), column.float()
