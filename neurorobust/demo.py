"""The whole way on the digits bundled with scikit-learn: train, export, parity, attack, compare, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neurorobust import datasets, models, netx
from neurorobust.assessment import Confirm, Question, assess, float_classifier
from neurorobust.backends.base import Backend
from neurorobust.errors import CheckFailed
from neurorobust.evaluation import Progress
from neurorobust.models import CARD_FILE, Network, open_backend, write_card
from neurorobust.parity import parity
from neurorobust.records import ParityResult, Record

EPSILONS = ("0.05", "0.1", "0.15", "0.2", "0.3")
FLIPS = ("10", "20", "40")
ATTACKS = ("random", "pgd-linf", "spike-random", "spike-topk")
LAVA_SAMPLES = 16
CONFIRM_SAMPLES = 16

Say = Callable[[str], None]
