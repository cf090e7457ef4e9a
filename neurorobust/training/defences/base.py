"""What a defence is: the loss of a batch, and hooks around the update that it leads to."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from torch import Generator, Tensor, nn

from neurorobust.types import Labels

if TYPE_CHECKING:
    from neurorobust.encoders import Encoder
    from neurorobust.networks import SlayerNetwork

Batch: TypeAlias = tuple[Tensor, Labels]  # x as the encoder takes it, and true classes


class Learner(Protocol):
    """What is trained, as a defence sees it.

    Attributes:
        network: its parameters are trained and exported.
        encoder: turns x into its inputs.
        own: what `Defence.parameters` gave, trained beside the network's and not exported.
        epoch: epochs before this one.
    """

    network: SlayerNetwork
    encoder: Encoder
    own: nn.ParameterDict

    @property
    def epoch(self) -> int:
        """See above."""
        ...

    def counts(self, x: Tensor, generator: Generator) -> Tensor:
        """Output spikes `[batch, classes]` of x, float32 with gradients; a new draw every time."""
        ...


class Defence(ABC):
    """A way of training, as a value: a frozen dataclass whose fields are its settings.

    All randomness comes from the generator that is handed in: a resumed run draws the same.

    Attributes:
        name: on the command line and on cards.
    """

    name: ClassVar[str]

    @abstractmethod
    def loss(self, learner: Learner, batch: Batch, generator: Generator) -> Tensor:
        """What is minimised: a number, the mean over the batch."""

    def parameters(self, network: SlayerNetwork) -> dict[str, nn.Parameter]:
        """Parameters of its own, by names without dots; made once, before training."""
        del network
        return {}

    def after_step(self, learner: Learner) -> None:
        """Called after every update: weights may be edited in place, without gradients."""
        del learner

    def train_batch(
        self, learner: Learner, optimiser: Any, batch: Batch, generator: Generator
    ) -> Tensor:
        """One update of all parameters; another number of them for those who override it.

        Args:
            learner: what is trained.
            optimiser: has `zero_grad` and `step`.
            batch: samples.
            generator: of this batch of this epoch.

        Returns:
            the loss before the update, detached.
        """
        loss = self.loss(learner, batch, generator)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        self.after_step(learner)
        return loss.detach()


def settings(defence: Defence) -> dict[str, Any]:
    """Its name and its fields, for the record of a run."""
    fields: dict[str, Any] = {}
    if dataclasses.is_dataclass(defence):
        fields = dataclasses.asdict(defence)
    return {"name": defence.name, **fields}
