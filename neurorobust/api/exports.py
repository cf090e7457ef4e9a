"""A trained network becomes a `.net` file and its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurorobust import export as rounding
from neurorobust import models, netx
from neurorobust.api.card_fields import changed, known
from neurorobust.api.cards import free, prepared
from neurorobust.api.networks import read
from neurorobust.errors import BadInput, OutputError
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.networks.foreign import load_foreign
from neurorobust.netx.model import NetxModel
from neurorobust.records import Card
from neurorobust.support import files
from neurorobust.training import load_run


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the `.net` file.
        model: what it holds.
        notes: one line for everything that was folded, replaced, left out or rounded.
        card: that was written beside it; None: none was.
    """

    path: Path
    model: NetxModel
    notes: tuple[str, ...]
    card: Card | None

    @property
    def beside(self) -> str:
        """What lies beside the file now, in words."""
        file = self.path.parent / models.CARD_FILE
        if self.card is not None:
            return f"card {file}"
        return f"{file} is left as it was" if file.exists() else models.no_card(self.path)


def own_network(
    name: str,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    samples: Path | Tensor | None = None,
) -> BlockNetwork:
    """A lava-dl network of your own project, for `export_network` and `parity_of`.

    Args:
        name: `module:factory`, which takes no arguments and returns an nn.Module with `blocks`.
        weights: its state dict as .safetensors; None: as the factory made it.
        input_shape: C, H, W, or features.
        samples: what a stock Input block is fed: a tensor, or an .npz file that holds `x`.

    Raises:
        BadInput: see `networks.foreign.load_foreign`; or `samples` cannot be read.
        UnavailableError: lava-dl is not installed.

    Example:
        >>> try:
        ...     own_network("nowhere:Network")
        ... except BadInput as error:
        ...     print("nowhere" in str(error))
        True
    """
    fed = samples if isinstance(samples, Tensor) or samples is None else _samples(samples)
    return load_foreign(name, weights, input_shape, fed)


def export_run(
    run: Path | str,
    out: Path | str,
    *,
    card: Card | Path | str | None = None,
    overwrite: bool = False,
    **said: Any,
) -> Exported:
    """Export a training run to `out`, with `card.json` beside it.

    Args:
        run: the run's directory.
        out: the `.net` file.
        card: in place of the run's own; a card or the path of one.
        overwrite: replace the file and its card.
        said: goes before the card's fields: `dataset`, and as in `load`.

    Raises:
        BadInput: not a finished run, or no field of a card.
        CardError: the card does not fit the network; nothing was written.
        OutputError: the file or its card exists already, or cannot be written.

    Example:
        >>> try:
        ...     export_run("runs/nothing", "a.net")
        ... except BadInput as error:
        ...     print("runs/nothing" in str(error))
        True
    """
    path = check_out(Path(out), overwrite)
    free(path, overwrite)
    network, own, _ = load_run(Path(run))
    exported = rounding.explain(network)
    made = prepared(path, exported.model, read(card) or own, known(said), overwrite)
    return _write(exported, path, made)


def export_network(
    network: BlockNetwork,
    out: Path | str,
    *,
    card: Card | Path | str | None = None,
    overwrite: bool = False,
    **said: Any,
) -> Exported:
    """Export a network to `out`; with a card beside it where `card` or `said` is given.

    Args:
        network: of lava-dl's blocks: `own_network`, or `networks.adopt` of an nn.Module.
        out: the `.net` file.
        card: where the card starts; a card or the path of one.
        overwrite: replace the file, and its card where one is given.
        said: as in `export_run`.

    Raises:
        BadInput: a block, or something in it, that no `.net` file can hold; or no field of a card.
        CardError: the card is not whole, or does not fit the network; nothing was written.
        OutputError: the file or its card exists already, or cannot be written.

    Example:
        >>> try:
        ...     export_network(None, "model.h5")
        ... except OutputError as error:
        ...     print(error)
        --out model.h5: a network's file ends in .net, as model.net
    """
    path, given, start = check_out(Path(out), overwrite), known(said), read(card)
    made = changed(start, given) if start is not None or given else None
    if made is not None:
        free(path, overwrite)
    exported = rounding.explain(network)
    if made is not None:
        made = prepared(path, exported.model, made, {}, overwrite)
    return _write(exported, path, made)


def check_out(out: Path, overwrite: bool) -> Path:
    """The same path; refuses, before any work, what no `.net` file is called, or what is taken.

    Raises:
        OutputError: so it is; the remedy is in the message.
    """
    if out.suffix != ".net":
        raise OutputError(
            f"--out {out}: a network's file ends in .net, as {out.with_suffix('.net')}"
        )
    if out.is_dir():
        raise OutputError(f"{out}: is a folder")
    if out.exists() and not overwrite:
        raise OutputError(f"{out}: exists already; --overwrite replaces it")
    return out


def _write(exported: rounding.Export, out: Path, card: Card | None) -> Exported:
    model = netx.write(exported.model, out)
    if card is not None:
        card = card.model_copy(update={"sha256": model.sha256})
        models.write_card(card, out.parent / models.CARD_FILE)
    return Exported(out, model, exported.notes, card)


def _samples(path: Path) -> Tensor:
    try:
        held = files.read_npz(path, names=("x",), limit=files.foreign_limit(path))["x"]
    except BadInput as error:
        raise BadInput(f"--samples {error}") from error
    if held.dtype.kind not in "buif":
        raise BadInput(f"--samples {path}: x holds {held.dtype}, need numbers")
    return torch.from_numpy(held.astype(np.float64))
