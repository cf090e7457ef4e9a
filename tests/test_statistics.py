import numpy as np
import pytest

from neurorobust.records import rate
from neurorobust.statistics import exact_mcnemar, wilson


def test_wilson_against_its_closed_form() -> None:
    z, k, n = 1.959963984540054, 81, 100
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(k, n) == pytest.approx((centre - half, centre + half), abs=1e-12)


def test_wilson_at_its_borders() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(1.0, abs=1e-12)
    assert 0 < wilson(10, 10)[0] < 1


def test_rate_keeps_its_counts() -> None:
    result = rate(3, 4)
    assert (result.correct, result.total) == (3, 4)
    assert result.interval == wilson(3, 4)


def test_mcnemar_counts_discordant_pairs_and_their_sign_test() -> None:
    first = np.array([True] * 8 + [False] * 2)
    second = np.array([False] * 7 + [True] + [False] * 2)
    p, discordant = exact_mcnemar(first, second)
    assert discordant == (7, 0)
    assert p == pytest.approx(2 * 0.5**7)


def test_mcnemar_without_discordant_pairs() -> None:
    same = np.array([True, False])
    assert exact_mcnemar(same, same) == (1.0, (0, 0))
