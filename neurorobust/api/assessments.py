"""A network assessed by one `Request`: what `neurorobust evaluate` and `compare` ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neurorobust.assess import assess as whole
from neurorobust.assess.alignment import alignment, trained_clock
from neurorobust.assess.assess import Setup
from neurorobust.assess.confirm import require_identical
from neurorobust.attacks import Attack
from neurorobust.attacks.recipe import Recipe
from neurorobust.backends.base import GLOBAL
from neurorobust.backends.registry import Settings, open_backend, parse_replay
from neurorobust.classifier import Classifier, Network
from neurorobust.datasets import Dataset
from neurorobust.evaluation import DRAWS, Confirm, Progress, Request
from neurorobust.records import Alignment, Record

if TYPE_CHECKING:
    from neurorobust.networks.block_network import BlockNetwork


def ask(
    attacks: Sequence[str | Attack | Recipe],
    budgets: Mapping[str, Sequence[str]],
    *,
    seed: int = 0,
    seeds: int = 1,
    draws: int | None = None,
    minimum: bool = False,
    targeted: bool = False,
    control: bool = True,
    confirm: str = "",
    compare_with: str | Attack | None = None,
) -> Request:
    """Everything that is asked of a network, read and checked before any work.

    Args:
        attacks: names, attacks or recipes.
        budgets: as typed, by kind.
        seed: of everything random.
        seeds: attack from so many.
        draws: of an encoder that draws: so many select, as many score; None: 10.
        minimum: find the smallest budget that breaks each sample.
        targeted: attack towards a random wrong class as well.
        control: run random noise of the same size beside the attacks.
        confirm: `lava:16`: replay so many samples on another target; empty: none.
        compare_with: the attack that compares with the float network; None: no comparison.

    Raises:
        BadInput: what cannot be read, or contradicts itself.

    Example:
        >>> ask(["pgd-linf"], {"eps": ["8/255"]}).budgets
        {'eps': ('8/255',)}
    """
    return Request(
        attacks=attacks,
        budgets=budgets,
        seed=seed,
        seeds=seeds,
        draws=DRAWS if draws is None else draws,
        minimum=minimum,
        targeted=targeted,
        control=control,
        confirm=Confirm(*parse_replay("--confirm", confirm)) if confirm else None,
        compare_with=compare_with,
    )


def assess_network(
    network: Network,
    data: Dataset,
    request: Request,
    *,
    backend: str = "engine",
    settings: Settings | None = None,
    validation: Dataset | None = None,
    against: Classifier | None = None,
    out: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Record:
    """Open a network on a backend and do what is asked: score, attack, compare, replay, report.

    Args:
        network: with its card.
        data: the samples that are scored.
        request: what is asked, see `ask`.
        backend: where the network runs.
        settings: how it runs there.
        validation: samples on which a recipe chooses its strongest backward mode.
        against: the float network, where a comparison is asked for (`float_side`).
        out: a folder for record, samples and page; None: none is written.
        resume: go on with what an interrupted run left in `out`.
        overwrite: replace what lies there.
        progress: told (done, total, what).
        command: the command line, for the record.

    Raises:
        BadInput: what does not fit the network or the data (before any work).
        BackendError: a target failed.

    Example:
        >>> data = scored_data(load("digits-mlp"), limit=20)
        >>> assess_network(load("digits-mlp"), data, ask(["random"], {"eps": ["0.1"]})).clean.total
        20
    """
    setup = Setup(
        backend, settings or Settings(), validation=validation, against=against, command=command
    )
    return whole.assess(network, data, request, out, setup, resume, overwrite, progress)


def require_confirmed(record: Record) -> None:
    """Refuse a record whose replay on another target came out differently.

    Args:
        record: with a confirmation, or without one, which is fine.

    Raises:
        CheckFailed: the targets differ; says in which sample and layer.

    Example:
        >>> data = scored_data(load("digits-mlp"), limit=20)
        >>> asked = ask(["pgd-linf"], {"eps": ["0.1"]}, confirm="reference:2")
        >>> require_confirmed(assess_network(load("digits-mlp"), data, asked))
    """
    if record.confirmed is not None:
        require_identical(record.confirmed)


def float_side(trained: Path | BlockNetwork, network: Network) -> Classifier:
    """The float network of a deployed one, fed and read in the same way.

    Args:
        trained: a training run's folder, or a network of your own (`own_network`).
        network: the deployed one.

    Raises:
        BadInput: not a finished run, or a network of another architecture.

    Example:
        >>> try:
        ...     float_side(Path("runs/none"), load("digits-mlp"))
        ... except BadInput as error:
        ...     print(str(error)[:13])
        run runs/none
    """
    return whole.float_classifier(trained, network)


def alignment_cost(
    against: Classifier,
    network: Network,
    data: Dataset,
    *,
    backend: str = "engine",
    settings: Settings | None = None,
    seed: int = 0,
) -> Alignment | None:
    """What aligned resets change, for a network that was trained with `delay_shift` and has biases.

    Args:
        against: the float network (`float_side`).
        network: the deployed one.
        data: the samples, all of them.
        backend: where it runs; Lava has the aligned clock only.
        settings: how it runs there.
        seed: of an encoder that draws.

    Raises:
        BackendError: the backend failed.

    Example:
        >>> network = load("digits-mlp")
        >>> with network.open() as aligned:
        ...     print(alignment_cost(aligned, network, scored_data(network, limit=4)))
        None
    """
    if trained_clock(against.backend) != GLOBAL or backend == "lava":
        return None
    with open_backend(backend, network.model, settings or Settings()) as target:
        return alignment(network.classifier(target), data, seed)
