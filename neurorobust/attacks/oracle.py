"""A classifier as a torch module for third-party attacks; it keeps the best input it was asked.

Foolbox and AutoAttack bring their own loops. What ours do in theirs happens here, at the query:
scale-free logits, backward modes, averaging over draws, early stopping, a budget in queries, and a
success at any query is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from neurorobust.attacks import objectives
from neurorobust.attacks.best import Best, Standing
from neurorobust.attacks.modes import PLAIN, Mode, Pass
from neurorobust.budgets import ROUNDING, ImageBudget, project
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.readouts import first_argmax
from neurorobust.types import Labels


class Done(Exception):
    """No sample is left to ask about: each is broken, or its queries are used up."""


class Unknown(Exception):
    """The rows of a query cannot be matched to samples."""


@dataclass(eq=False)
class Oracle(nn.Module):
    """Answers for one batch of samples.

    A finished sample is never run again. One is finished when it is misclassified inside the budget
    (with `stop`, and an encoder that is not random), and then the answer stays the one that broke
    it; or when its queries are used up, and then the answer is one that tells nothing ("broken"),
    which no proposal comes from. When all are finished a query raises `Done`.

    Attributes:
        classifier: on any backend; differentiable where gradients are asked for.
        x: images `[batch, C, H, W]` the attack starts from.
        labels: theirs.
        budget: around x; what lies outside is answered, but not kept. Other code rounds: a point
            that is out by rounding alone (`budgets.ROUNDING` a pixel) is projected, then asked.
        generator: feeds random encoders.
        mode: the backward mode.
        draws: independent queries averaged in each answer where the encoder is random.
        limit: queries of one sample at most (an answer averaged over draws is that many); None: any
            number.
        decision: answer labels only (1 for the class named, 0 for others).
        stop: see above.
        best: what was shown, inside the budget.
        used: int64 `[batch]`, queries of each sample.

    Raises:
        BadInput: x outside [0, 1]: normalised already, which is the encoder's to do.
    """

    classifier: Classifier
    x: Tensor
    labels: Labels
    budget: ImageBudget
    generator: torch.Generator
    mode: Mode = PLAIN
    draws: int = 1
    limit: int | None = None
    decision: bool = False
    stop: bool = True
    best: Best = field(init=False)
    used: Tensor = field(init=False)

    def __post_init__(self) -> None:
        super().__init__()
        self.eval()
        outside = ~((self.x >= 0) & (self.x <= 1))
        if bool(outside.any()):
            raise BadInput(f"images: x holds {float(self.x[outside][0]):g}, outside [0, 1]")
        random = self.classifier.encoder.random
        self.classifier = objectives.unscaled(self.classifier)
        self.draws = self.draws if random else 1
        self.stop = self.stop and not random
        self.best = Best.start(self.x)
        self.used = torch.zeros(len(self.x), dtype=torch.long, device=self.x.device)
        self._last: Tensor | None = None  # [batch, classes], what finished samples answer
        self._unit = torch.full((len(self.x),), torch.nan, device=self.x.device)
        self._finished = torch.zeros_like(self.used, dtype=torch.bool)
        self.restart()

    def restart(self, rows: Tensor | None = None) -> None:
        """Forget what the backward mode remembers; now only `rows` are asked about (None: all)."""
        self._pass: Pass = self.mode.start()
        self._held = torch.arange(len(self.x), device=self.x.device) if rows is None else rows

    def for_sample(self, row: int) -> Oracle:
        """The same for one sample, its queries so far counted."""
        one = slice(row, row + 1)
        alone = replace(self, x=self.x[one], labels=self.labels[one])
        alone.used += self.used[row]
        alone._finished |= self._finished[row]
        return alone

    def take_over(self, row: int, alone: Oracle) -> None:
        """Take over what `for_sample(row)` found."""
        self.best.update(alone.best.x, alone.best.standing, self.used.new_tensor([row]))
        self.used[row] = alone.used[0]
        self._finished[row] |= alone._finished[0]

    def forward(self, x: Tensor) -> Tensor:
        """Graded logits `[rows, classes]`; row i is of sample i, or all are of the only sample.

        Raises:
            Done: nothing to ask any more.
            Unknown: fewer or more rows than samples, and several samples.
        """
        if len(x) == len(self.x):
            return self.ask(x, torch.arange(len(x), device=x.device))
        if len(self.x) != 1:
            raise Unknown(f"{len(x)} rows for {len(self.x)} samples")
        answers = [self.ask(row[None], self.used.new_zeros(1)) for row in x]
        return torch.cat(answers)

    def ask(self, x: Tensor, rows: Tensor) -> Tensor:
        """As `forward`, of the samples `rows` (int64, each once)."""
        self._finished |= self._spent()
        asked = (~self._finished[rows]).nonzero().flatten()
        if not len(asked):
            raise Done
        snapped, within = self._snapped(x.detach().clamp(0, 1), rows)
        point = snapped + (x - x.detach())  # the gradient is that at the snapped point
        answers = self._answer(point[asked], rows[asked], within[asked])
        if self._last is None:
            nothing = objectives.SHARPNESS * torch.nn.functional.one_hot(
                self.labels, answers.shape[-1]
            )
            self._last = -nothing.to(answers.dtype)
        settled = self._finished[rows[asked]]
        self._last[rows[asked][settled]] = answers.detach()[settled]
        if len(asked) == len(x):
            return answers
        return self._last[rows].index_put((asked,), answers)

    def _spent(self) -> Tensor:
        if self.limit is None:
            return torch.zeros_like(self._finished)
        return self.used + self.draws > self.limit

    def _answer(self, x: Tensor, rows: Tensor, within: Tensor) -> Tensor:
        follows = torch.is_grad_enabled() and x.requires_grad
        if follows and len(rows) < len(self._held):
            self._pass.keep(torch.isin(self._held, rows).nonzero().flatten())
            self._held = rows
        total, standing = None, Standing.nothing(x)
        for draw in range(self.draws):
            logits = self._gradients(x, draw) if follows else self._plain(x)
            standing += objectives.standing(logits.detach(), self.labels[rows]) / self.draws
            one = objectives.graded(logits, self._scale(logits, rows)) / self.draws
            total = one if total is None else total + one
        assert total is not None
        self.used[rows] += self.draws
        self._remember(x.detach(), rows, within, standing)
        if self.decision:
            return torch.nn.functional.one_hot(first_argmax(total), total.shape[-1]).to(x.dtype)
        return total

    def _scale(self, logits: Tensor, rows: Tensor) -> Tensor:
        """What each sample's logits are divided by: their spread, the first time that they had one.

        A unit that followed the logits would make a smaller margin look larger.
        """
        spread = objectives.spread(logits.detach())
        apart = logits.detach().amax(-1) > logits.detach().amin(-1)
        fresh = apart & torch.isnan(self._unit[rows])
        self._unit[rows[fresh]] = spread[fresh].to(self._unit.dtype)
        return torch.where(torch.isnan(self._unit[rows]), spread, self._unit[rows])

    def _gradients(self, x: Tensor, draw: int) -> Tensor:
        self._pass.begin(draw)
        return self.classifier.with_backward(self._pass.backward).logits(x, self.generator)

    def _plain(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            parts = torch.split(x, self.classifier.backend.query_batch)
            return torch.cat([self.classifier.logits(part, self.generator) for part in parts])

    def _remember(self, x: Tensor, rows: Tensor, within: Tensor, standing: Standing) -> None:
        shown = Standing(standing.broken[within], standing.margin[within])
        self.best.update(x[within], shown, rows[within])
        if self.stop:
            self._finished[rows[within & (standing.broken >= 1)]] = True

    def _snapped(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Points in [0, 1], those out by rounding alone projected; and which are inside the ball.

        A pixel that moved by no more than rounding has not moved in the sense of l0.
        """
        own, point = self.x[rows], x
        if self.budget.norm == "l0":
            moved = ((x - own).abs() > ROUNDING).any(1, keepdim=True)
            point = torch.where(moved, x, own)
        inside, outside = project(point, own, self.budget)
        return torch.where(outside.view(-1, 1, 1, 1), x, inside), ~outside
