"""Intervals and paired tests, from statsmodels, which is loaded with the first of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95


def wilson(correct: float, total: float) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson, JASA 22, 1927).

    (0, 1) when nothing was counted.
    """
    from statsmodels.stats.proportion import proportion_confint

    if total == 0:
        return (0.0, 1.0)
    low, high = proportion_confint(correct, total, alpha=1 - CONFIDENCE, method="wilson")
    return (float(low), float(high))


def exact_mcnemar(
    first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]
) -> tuple[float, tuple[int, int]]:
    """Exact McNemar test of paired outcomes.

    Returns:
        the p-value, and the discordant pairs (only first true, only second true).
    """
    from statsmodels.stats.contingency_tables import mcnemar

    table = [
        [int((first & second).sum()), int((first & ~second).sum())],
        [int((~first & second).sum()), int((~first & ~second).sum())],
    ]
    return float(mcnemar(table, exact=True).pvalue), (table[0][1], table[1][0])
