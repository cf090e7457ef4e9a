"""The loop itself: Lightning's Trainer around a SLAYER network."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from neurorobust.encoders import Encoder
from neurorobust.networks import SlayerNetwork
from neurorobust.readouts import first_argmax
from neurorobust.training.checkpoint import Epoch, State
from neurorobust.training.data import (
    ORDER,
    TRAIN_DRAWS,
    VALIDATION_DRAWS,
    Batches,
    stream,
)
from neurorobust.training.defences import Defence
from neurorobust.training.options import TrainOptions
from neurorobust.types import Labels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the packages that Lightning imports
    import lightning.pytorch as pl

Progress = Callable[[int, int, str], None]  # done, total (batches), what


class Learner(pl.LightningModule):
    """One network while it learns: updates, optimiser, validation, and what is kept between epochs.

    The defence trains a batch; validation counts, its loss is the cross-entropy of the output
    spike counts (one spike is one unit, as in the readout `count`).

    Args:
        network, encoder, options: what learns, how it sees, how it is taught.
        defence: what is minimised.
        own: the defence's parameters, fresh.
        state: where to begin; a fresh `State()` for a new run.
        keep: called with the new state after every epoch.
        progress: called after every batch.
    """

    def __init__(
        self,
        network: SlayerNetwork,
        encoder: Encoder,
        options: TrainOptions,
        defence: Defence,
        own: dict[str, nn.Parameter],
        state: State,
        keep: Callable[[State], None],
        progress: Progress,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False  # the defence updates
        self.defence, self.own = defence, nn.ParameterDict(own)
        self.network, self.encoder, self.options = network, encoder, options
        self.state, self.keep, self.progress = state, keep, progress
        self.begun = len(state.history)
        if state.network is not None:
            network.load_state_dict(state.network)
            self.own.load_state_dict(state.own or {})
        self.started = time.perf_counter()
        self.trained: list[tuple[Tensor, int]] = []  # loss, samples of a batch
        self.validated: list[tuple[Tensor, int, int]] = []  # loss, correct, total of a batch

    @property
    def epoch(self) -> int:
        """Epochs before this one, those of an interrupted run included."""
        return self.begun + int(self.current_epoch)

    def order(self, samples: int) -> Tensor:
        """This epoch's order of the training part."""
        return torch.randperm(samples, generator=stream(self.options.seed, ORDER, self.epoch))

    def counts(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Output spikes `[batch, classes]`, float32 with gradients."""
        inputs = self.encoder.forward(x.to(torch.float32), generator)
        counts: Tensor = self.network(inputs).sum(-1)
        return counts

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, with the moments of the interrupted run."""
        learnt = [*self.network.parameters(), *self.own.parameters()]
        adam = torch.optim.Adam(learnt, lr=self.options.lr)
        if self.state.optimiser:
            moments: dict[int, dict[str, Tensor]] = {}
            for key, tensor in self.state.optimiser.items():
                index, _, name = key.partition(".")
                moments.setdefault(int(index), {})[name] = tensor
            adam.load_state_dict(adam.state_dict() | {"state": moments})
        return adam

    def on_train_epoch_start(self) -> None:
        """Set the epoch's rate: a function of its number alone, resuming needs no scheduler."""
        self.started, self.trained, self.validated = time.perf_counter(), [], []
        done = self.epoch / self.options.epochs
        for group in self._adam.param_groups:
            group["lr"] = self.options.lr * (1 + math.cos(math.pi * done)) / 2

    def training_step(self, batch: tuple[Tensor, Labels], number: int) -> None:
        """The defence's updates on one batch."""
        generator = stream(self.options.seed, TRAIN_DRAWS, self.epoch, number)
        loss = self.defence.train_batch(self, self.optimizers(), batch, generator)
        self.trained.append((loss * len(batch[1]), len(batch[1])))

    def on_train_batch_end(self, outputs: Any, batch: tuple[Tensor, Labels], number: int) -> None:
        """Tell how far we are."""
        batches = int(self.trainer.num_training_batches)
        self.progress(
            self.epoch * batches + number + 1, self.options.epochs * batches, self._words()
        )

    def validation_step(self, batch: tuple[Tensor, Labels], number: int) -> None:
        """Count; Poisson draws are the same in every epoch."""
        x, labels = batch
        counts = self.counts(x, stream(self.options.seed, VALIDATION_DRAWS, number))
        loss = nn.functional.cross_entropy(counts, labels, reduction="sum")
        correct = int((first_argmax(counts) == labels).sum())
        self.validated.append((loss, correct, len(labels)))

    def on_train_epoch_end(self) -> None:
        """Keep the state; stop when validation no longer improves."""
        epoch = self._measured()
        weights = {
            name: tensor.detach().cpu() for name, tensor in self.network.state_dict().items()
        }
        history = (*self.state.history, epoch)
        better = self.state.best is None or epoch.merit > self.state.best_epoch.merit
        self.state = State(
            history,
            network={name: tensor.clone() for name, tensor in weights.items()},
            best={name: t.clone() for name, t in weights.items()} if better else self.state.best,
            optimiser={
                f"{index}.{name}": torch.as_tensor(value).detach().cpu().clone()
                for index, moments in self._adam.state_dict()["state"].items()
                for name, value in moments.items()
            },
            own={name: t.detach().cpu().clone() for name, t in self.own.state_dict().items()},
        )
        self.keep(self.state)
        self.trainer.should_stop = self.state.exhausted(self.options)

    def on_train_end(self) -> None:
        """Training may end before the last epoch: then nothing is left to wait for."""
        epochs = len(self.state.history)
        self.progress(1, 1, f"trained {epochs} epochs, best {self.state.best_epoch.number}")

    def _measured(self) -> Epoch:
        losses, samples = zip(*self.trained, strict=True)
        validation_losses, correct, total = zip(*self.validated, strict=True)
        return Epoch(
            number=self.epoch + 1,
            loss=float(sum(losses)) / sum(samples),
            validation_loss=float(sum(validation_losses)) / sum(total),
            correct=sum(correct),
            total=sum(total),
            seconds=round(time.perf_counter() - self.started, 3),
        )

    @property
    def _adam(self) -> torch.optim.Optimizer:
        (adam,) = self.trainer.optimizers
        return adam

    def _words(self) -> str:
        words = f"epoch {self.epoch + 1}/{self.options.epochs}"
        if self.state.history:
            last = self.state.history[-1]
            words += f", validation {100 * last.correct / last.total:.1f} %"
        return words


def fit(learner: Learner, train: Batches, validation: Batches) -> State:
    """Run the epochs that are left; returns the last state.

    Raises:
        KeyboardInterrupt: Ctrl-C; the state of the last whole epoch was kept.
    """
    options = learner.options
    with _silence():
        trainer = pl.Trainer(
            accelerator="cpu" if options.device == "cpu" else "gpu",
            devices=1,
            max_epochs=options.epochs - learner.begun,
            logger=False,
            enable_checkpointing=False,  # ours is kept in on_train_epoch_end
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(learner, train, validation)
        except (
            SystemExit
        ):  # Lightning turns Ctrl-C into exit(1) and ignores the signal from then on
            signal.signal(signal.SIGINT, interrupt)
            raise KeyboardInterrupt from None
    return learner.state


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Lightning's advice kept off the screen, whatever is printed kept off stdout."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
