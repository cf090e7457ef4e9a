"""One independent random stream per sample of a batch.

What a sample draws depends on the caller's generator and on its place in the batch; neither on
the samples behind it nor on which of the others are still being attacked.
"""

from __future__ import annotations

import torch
from torch import Tensor


class SampleGenerators:
    """One generator a sample, seeded from the caller's."""

    def __init__(self, generator: torch.Generator, samples: int) -> None:
        seeds = [int(torch.randint(2**62, (), generator=generator)) for _ in range(samples)]
        self.rows = [torch.Generator().manual_seed(seed) for seed in seeds]

    def uniform(self, *shape: int, rows: Tensor | None = None) -> Tensor:
        """Float32 in [0, 1), `[samples, *shape]`; of the asked rows only, the others draw nothing.

        Args:
            shape: of one sample's numbers.
            rows: int64 indices of samples; all by default.
        """
        asked = range(len(self.rows)) if rows is None else rows.tolist()
        drawn = [torch.rand(shape, generator=self.rows[row]) for row in asked]
        return torch.stack(drawn) if drawn else torch.empty(0, *shape)

    def counted(self, counts: Tensor, rows: Tensor, parts: int = 1) -> Tensor:
        """As many as each sample wants: float32 `[parts, n, most]`, filled up with -1.

        Args:
            counts: int64 `[n]`, numbers of each part.
            rows: int64 `[n]`, the samples.
            parts: how many independent such lists.
        """
        most = int(counts.max()) if len(counts) else 0
        found = torch.full((parts, len(rows), most), -1.0)
        pairs = zip(rows.tolist(), counts.tolist(), strict=True)
        for place, (row, count) in enumerate(pairs):
            found[:, place, :count] = torch.rand(parts, count, generator=self.rows[row])
        return found
