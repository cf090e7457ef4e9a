"""State leak: the sample before is the perturbation, the sample itself stays as it is.

Synapses buffer a step, delayed events and recurrent spikes wait, u and v decay slowly: whatever is
not cleared between two samples is input to the second. No published attack does this; ours:

    control   one predecessor drawn at random from a pool of natural samples
    natural   the worst of the pool for each victim, and of all-bright and all-dark
    crafted   from there on, a random box is filled, and kept where the margin does not fall
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neurorobust.attacks.best import Best, Standing
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.evaluation.kept import Kept
from neurorobust.evaluation.query import Arrays
from neurorobust.faults.sequence import Regime, Sequence
from neurorobust.records import Rate, rate
from neurorobust.types import Inputs, Labels


@dataclass(frozen=True)
class Leak:
    """One regime.

    Attributes:
        regime: its name.
        alone: right answers to victims that come first.
        control, natural, crafted: right answers after the predecessors of the module's table.
        predecessor: crafted ones, `[victims, ...]` as the victims.
    """

    regime: str
    alone: Rate
    control: Rate
    natural: Rate
    crafted: Rate
    predecessor: Tensor

    @property
    def leaks(self) -> bool:
        """Whether any predecessor changed an answer from right to wrong."""
        return self.crafted.correct < self.alone.correct


@dataclass(frozen=True)
class LeakSearch:
    """The adversary.

    Threat model: the victim's input is out of reach, the one before it is free (any sample of the
    encoder's domain); scores of the victim are seen. Answers do not depend on other victims.

    Attributes:
        rounds: queries a victim while crafting.
        largest: side of the largest box, as a share of the input's; below 1.
    """

    rounds: int = 100
    largest: float = 0.5

    def __call__(
        self,
        classifier: Classifier,
        regime: Regime,
        victims: Tensor,
        labels: Labels,
        pool: Tensor,
        generator: torch.Generator,
        kept: Kept | None = None,
    ) -> Leak:
        """Look for the worst predecessor of every victim.

        Args:
            classifier: on the engine.
            regime: what is cleared between the two.
            victims: as the encoder takes them.
            labels: of the victims.
            pool: natural samples, of other data.
            generator: draws boxes, and the encoder's spikes.
            kept: what a run gave is taken from here, or kept here; None: all is run.

        Raises:
            BadInput: no pool, or another backend.
        """
        if not len(pool):
            raise BadInput("state leak: no samples to come before")
        sequence, encoder = Sequence(classifier, regime), classifier.encoder

        def standing(name: str, given: Tensor, *samples: Inputs) -> Standing:
            def run() -> Arrays:
                found = sequence.standing(labels, *samples)
                return {"broken": found.broken.numpy(), "margin": found.margin.numpy()}

            found = run() if kept is None else kept.arrays(f"{regime.name}: {name}", (given,), run)
            return Standing(
                *(torch.from_numpy(found[part].copy()) for part in ("broken", "margin"))
            )

        second = encoder.encode(victims, generator)
        everyone = torch.cat([pool, torch.ones_like(pool[:1]), torch.zeros_like(pool[:1])])
        before, count = encoder.encode(everyone, generator), len(victims)
        alone = standing("alone", victims, second)
        best = Best.start(victims, origin_counts=True)
        drawn = torch.randint(len(pool), (count,), generator=generator)
        control = torch.zeros(count)
        for row in range(len(everyone)):
            here = everyone[row : row + 1].expand(victims.shape).contiguous()
            after = standing(f"natural {row + 1}", here, before[[row] * count], second)
            best.update(here, after)
            control = torch.where(drawn == row, after.broken, control)
        natural = _right(best.standing)
        current, level = (
            best.x.clone(),
            Standing(best.standing.broken.clone(), best.standing.margin.clone()),
        )
        for done in range(self.rounds):
            tried = self._filled(current, generator)
            after = standing(f"crafted {done + 1}", tried, encoder.encode(tried, generator), second)
            best.update(tried, after)
            stays = level.above(after)
            current[~stays] = tried[~stays]
            level = Standing(
                torch.where(stays, level.broken, after.broken),
                torch.where(stays, level.margin, after.margin),
            )
        return Leak(
            regime.name,
            _right(alone),
            rate(int((control == 0).sum()), count),
            natural,
            _right(best.standing),
            best.x,
        )

    def jobs(self, pool: int) -> int:
        """Runs of one regime, of so many natural samples."""
        return 1 + pool + 2 + self.rounds  # alone; the pool, all bright and all dark; crafted

    def _filled(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A box of every sample (channels, rows, columns; steps too) filled with 0 or 1."""
        drawn = torch.rand((len(x), 2 * (x.dim() - 1) + 1), generator=generator)
        inside = torch.ones_like(x, dtype=torch.bool)
        for axis in range(1, x.dim()):
            size = x.shape[axis]
            length = (drawn[:, 2 * axis - 2] * self.largest * size).long() + 1
            start = (drawn[:, 2 * axis - 1] * (size - length + 1)).long()
            places = torch.arange(size)
            span = (places >= start[:, None]) & (places < (start + length)[:, None])
            inside &= span.view(len(x), *(size if a == axis else 1 for a in range(1, x.dim())))
        value = (drawn[:, -1] < 0.5).to(x.dtype).view(-1, *(1 for _ in x.shape[1:]))
        return torch.where(inside, value, x)


def _right(standing: Standing) -> Rate:
    return rate(int((standing.broken == 0).sum()), len(standing.broken))
