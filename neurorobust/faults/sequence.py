"""Two samples one after the other on one network, and what is cleared between them."""

from __future__ import annotations

from dataclasses import dataclass

from neurorobust.attacks import objectives
from neurorobust.attacks.best import Standing
from neurorobust.backends.base import ALIGNED, GLOBAL
from neurorobust.backends.engine import EngineBackend
from neurorobust.classifier import Classifier
from neurorobust.errors import BadInput
from neurorobust.types import Inputs, Labels, Run


@dataclass(frozen=True)
class Regime:
    """What a deployment does where one sample ends and the next begins.

    Attributes:
        name: how tables call it.
        resets: u and v of every layer are put to 0.
        clock: `aligned`: every layer is reset, and the answer is read, later by its latency;
            `global`: all of them in the same step, and the answer is read in the sample's own
            steps.
        about: in words.
    """

    name: str
    resets: bool
    clock: str
    about: str


REGIMES = {
    regime.name: regime
    for regime in (
        Regime("none", False, ALIGNED, "no resets; the answer read late by the latency"),
        Regime("staggered", True, ALIGNED, "each layer reset when the sample reaches it"),
        Regime("at-once", True, GLOBAL, "all layers reset in one step; read in the same window"),
    )
}


@dataclass(frozen=True, eq=False)
class Sequence:
    """A classifier that sees samples one after the other.

    Attributes:
        classifier: on the engine, on the CPU.
        regime: see there.
    """

    classifier: Classifier
    regime: Regime

    def __post_init__(self) -> None:
        if not isinstance(self.classifier.backend, EngineBackend):
            raise BadInput(f"state leak: needs the engine, not {self.classifier.backend.name}")

    def last(self, *samples: Inputs) -> Run:
        """The answer to the last of some samples, all batches of the same size."""
        engine = self.classifier.backend
        assert isinstance(engine, EngineBackend)
        stream = engine.stream(clock=self.regime.clock)
        for number, sample in enumerate(samples):
            if number and self.regime.resets:
                stream.reset()
            run = stream.feed(sample)
        return run

    def standing(self, labels: Labels, *samples: Inputs) -> Standing:
        """Whether the last sample is misclassified, and its margin."""
        logits = objectives.unscaled(self.classifier).readout.logits(self.last(*samples))
        return objectives.standing(logits.float(), labels)
