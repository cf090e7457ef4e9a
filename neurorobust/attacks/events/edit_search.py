"""Greedy search among edits, each asked of the network exactly; then exchanges; then anew.

Shared by flips, moves in time and patches: what an edit is, and what the budget allows, is
`edits.Edits`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.events.edits import Edits, together, toggled
from neurorobust.attacks.events.lives import ANY, Lives
from neurorobust.attacks.feasible import flip
from neurorobust.attacks.finer import FineFlipQueries
from neurorobust.attacks.gradients import Gradient
from neurorobust.attacks.modes import Mode
from neurorobust.attacks.sample_random import SampleGenerators

TINY = 1e-30  # slopes of a sample without any gradient: all the same but for chance


@dataclass(frozen=True)
class Effort:
    """How hard a search tries.

    Attributes:
        queries: of a sample, gradients included; the round in which they run out is finished.
        pool: edits asked one by one before one is made.
        drops: edits taken back in turn in an exchange, the least missed ones.
        swaps: edits asked in place of each of them.
        steps: in which the whole budget is spent; a larger one makes several edits at once.
        patience: rounds without progress, each by the next mode, after which a life ends.
    """

    queries: int
    pool: int
    drops: int
    swaps: int
    steps: int
    patience: int


@dataclass
class EditSearch:
    """One batch under attack. Which samples are attacked, and within what, each call says.

    Attributes:
        flip_queries: asked.
        generators: the numbers of each sample's own.
        modes: backward modes, one after the other.
        effort: see there.
    """

    flip_queries: FineFlipQueries
    generators: SampleGenerators
    modes: tuple[Mode, ...]
    effort: Effort

    def __post_init__(self) -> None:
        self.spikes = self.flip_queries.x.flatten(1).bool()

    def __call__(self, edits: Edits, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Search.

        Args:
            edits: what is allowed.
            rows: int64 `[n]`, the samples.

        Returns:
            flips bool `[n, entries]` inside the budget, those that break or the last ones tried;
            and which break, bool `[n]`.
        """
        mask = torch.zeros_like(self.spikes)
        answers = self.flip_queries(mask, torch.arange(len(mask)))
        lives, broken = Lives.start(answers, self.flip_queries.labels, mask.shape[1]), answers.wrong
        until = self.flip_queries.asked + self.effort.queries
        while True:
            active = rows[~broken[rows] & (self.flip_queries.asked[rows] < until[rows])]
            if not len(active):
                return mask[rows], broken[rows]
            slope = self._slopes(mask[active], active, lives)
            come = self._come(edits, mask[active], active, slope, lives, self.effort.pool)
            room = (come[:, :, 0] >= 0).any(1)
            stuck = ~room & ~mask[active].any(1)  # nothing may come, nothing is there to go
            until[active[stuck]] = 0
            active, come, room, slope = (each[~stuck] for each in (active, come, room, slope))
            self._add(edits, mask, active[room], come[room], lives)
            self._exchange(edits, mask, active[~room], slope[~room], lives)
            broken[active] = lives.level[active] == torch.inf
            over = active[~broken[active] & (lives.idle[active] >= self.effort.patience)]
            if len(over):
                self._renew(edits, mask, over, lives)

    def _slopes(self, mask: Tensor, rows: Tensor, lives: Lives) -> Tensor:
        """Gradients, each sample by its own mode and aim: `[n, entries]`."""
        slope = torch.zeros(mask.shape)
        which = (lives.number[rows] + lives.idle[rows]) % len(self.modes)
        target = lives.target(rows)
        for number, mode in enumerate(self.modes):
            for aimed in (False, True):
                own = ((which == number) & ((target != ANY) == aimed)).nonzero().flatten()
                if len(own):
                    labels = self.flip_queries.labels[rows[own]]
                    aim = target[own] if aimed else None
                    now = flip(self.flip_queries.x[rows[own]], mask[own])
                    source = Gradient(mode).start(self.flip_queries.plain)
                    slope[own] = source(now, labels, self.flip_queries.generator, aim)[0].flatten(1)
        self.flip_queries.asked[rows] += 1
        blind = (~slope.any(1)).nonzero().flatten()
        if len(blind):
            slope[blind] = TINY * (self.generators.uniform(slope.shape[1], rows=rows[blind]) - 0.5)
        return slope

    def _come(
        self, edits: Edits, mask: Tensor, rows: Tensor, slope: Tensor, lives: Lives, count: int
    ) -> Tensor:
        """What to ask next: int64 `[n, k, w]`, k at most `count`.

        A third are edits that gained most when they were asked last in this life (in lives that
        remember), the others are new, by the slope; from the second life on a random half of twice
        as many.
        """
        known = ~lives.gain[rows].isnan() & lives.remembers(rows)[:, None]
        sign = torch.where(self.spikes[rows] ^ mask, -1.0, 1.0)
        seen = edits.come(mask, rows, lives.gain[rows].nan_to_num() * sign, count // 3, known)
        later = lives.number[rows] > 0
        fresh = count - count // 3
        new = edits.come(mask, rows, slope, fresh * (2 if bool(later.any()) else 1), ~known)
        keys = torch.arange(new.shape[1]).expand(new.shape[:2]).float().clone()
        if bool(later.any()):
            keys[later] = self.generators.uniform(new.shape[1], rows=rows[later])
        keys = keys.masked_fill(new[:, :, 0] < 0, torch.inf)
        order = keys.argsort(dim=1, stable=True)[:, :fresh]
        return torch.cat([seen, new.gather(1, order[:, :, None].expand(-1, -1, new.shape[2]))], 1)

    def _asked(
        self, mask: Tensor, rows: Tensor, come: Tensor, lives: Lives, level: Tensor | None = None
    ) -> Tensor:
        """The score of each edit on top of its sample's state; minus infinity where there is none.

        Args:
            mask: bool `[n, entries]`.
            rows: int64 `[n]`.
            come: int64 `[n, k, w]`.
            lives: it keeps the aims and the gains.
            level: float64 `[n]`, the score without: gains are remembered. None: they are not.
        """
        score = torch.full(come.shape[:2], -torch.inf, dtype=torch.float64)
        owner, column = (come[:, :, 0] >= 0).nonzero(as_tuple=True)
        base = torch.zeros_like(self.spikes)
        base[rows] = mask
        asked = come[owner, column]
        score[owner, column] = lives.score(self.flip_queries(base, rows[owner], asked), rows[owner])
        if level is not None:
            gain = (score[owner, column] - level[owner]).float()
            lives.gain[rows[owner], asked[:, -1]] = gain
        return score

    def _add(self, edits: Edits, mask: Tensor, rows: Tensor, come: Tensor, lives: Lives) -> None:
        """Make the best edit, or, of a large budget, as many of the best as do better together."""
        if not len(rows):
            return
        score = self._asked(mask[rows], rows, come, lives, lives.level[rows])
        order = score.argsort(dim=1, descending=True, stable=True)
        come = come.gather(1, order[:, :, None].expand_as(come))
        level = score.gather(1, order)
        states, reached = toggled(mask[rows], come[:, 0]), level[:, 0].clone()
        size, at_once = 2, min(-(-edits.most // self.effort.steps), come.shape[1])
        while size <= at_once:
            able = (level[:, size - 1] > -torch.inf) & (reached < torch.inf)
            tried = together(mask[rows], come[:, :size].flatten(1))
            able = (able & edits.inside(tried, rows)).nonzero().flatten()
            found = lives.score(self.flip_queries(tried[able], rows[able]), rows[able])
            up = found > reached[able]
            states[able[up]], reached[able[up]] = tried[able[up]], found[up]
            size *= 2
        better = lives.advance(rows, reached, plain=True)
        mask[rows[better]] = states[better]

    def _exchange(
        self, edits: Edits, mask: Tensor, rows: Tensor, slope: Tensor, lives: Lives
    ) -> None:
        """Take one edit back, with or without another in its place, if that is better."""
        if not len(rows):
            return
        gone = edits.gone(mask[rows], rows, slope, self.effort.pool)
        score = self._asked(mask[rows], rows, gone, lives)
        states = mask[rows]
        reached = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
        order = score.argsort(dim=1, descending=True, stable=True)[:, : self.effort.drops]
        for column in order.unbind(1):
            here = torch.arange(len(rows))
            back, level = gone[here, column], score[here, column]
            fewer = toggled(mask[rows], back)
            _keep(states, reached, fewer, level)
            going = ((level > -torch.inf) & (reached < torch.inf)).nonzero().flatten()
            come = self._come(
                edits, fewer[going], rows[going], slope[going], lives, self.effort.swaps
            )
            again = (come.sort(2).values == back[going].sort(1).values[:, None]).all(2)
            come = come.masked_fill(again[:, :, None], -1)
            if not come.numel():
                continue
            value, best = self._asked(fewer[going], rows[going], come, lives, level[going]).max(1)
            tried = toggled(fewer[going], come[torch.arange(len(going)), best])
            some, most = states[going], reached[going]
            _keep(some, most, tried, value)
            states[going], reached[going] = some, most
        better = lives.advance(rows, reached, plain=False)
        mask[rows[better]] = states[better]

    def _renew(self, edits: Edits, mask: Tensor, rows: Tensor, lives: Lives) -> None:
        """Go on from some of the edits, or from none."""
        slope = torch.zeros(mask[rows].shape)
        gone = edits.gone(mask[rows], rows, slope, edits.most)
        keep = lives.renew(rows, gone[:, :, 0] >= 0, self.generators)
        back = gone.masked_fill(keep[:, :, None], -1).flatten(1)
        state = together(mask[rows], back)
        inside = edits.inside(state, rows) & (keep.any(1))
        mask[rows] = state & inside[:, None]
        lives.level[rows] = lives.score(self.flip_queries(mask[rows], rows), rows)


def _keep(states: Tensor, reached: Tensor, tried: Tensor, level: Tensor) -> None:
    """Whatever is better, in place."""
    up = level > reached
    states[up], reached[up] = tried[up], level[up]
