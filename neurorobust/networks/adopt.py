"""A lava-dl network of the user's own, taken as it is: its blocks in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from neurorobust.errors import BadInput
from neurorobust.networks.block_network import BlockNetwork, Shape
from neurorobust.networks.blocks import SpikeInput
from neurorobust.networks.forward_check import check_forward
from neurorobust.networks.input import InputBlock
from neurorobust.networks.lava_dl import import_slayer
from neurorobust.networks.remedies import check_block
from neurorobust.networks.stock_input import chip_input


def adopt(
    module: nn.Module, input_shape: Sequence[int] | None = None, samples: Tensor | None = None
) -> BlockNetwork:
    """A user's network as something that `export` and `SlayerBackend` take.

    The module is not touched: its blocks are shared until `frozen_copy` copies them. Whether its
    `forward` really is its blocks one after the other is tried, on copies (forward_check.py).

    Args:
        module: an `nn.Module` with `blocks` in a forward loop, as in lava-dl's tutorials.
        input_shape: C, H, W of one frame, or the number of features; None: as its first block has
            it, where it is Dense or has run.
        samples: what its stock `cuba.Input` block (if it has one with neurons) is fed, float
            `[n, *input_shape]`, without time: such a block is accepted only where every one of
            these values gives the chip's rule the same drive.

    Returns:
        The blocks behind our own input block; `SpikeInput` (and a Flatten before a Dense block that
        is given images) is put in front where the network has none.

    Raises:
        BadInput: no blocks, a block that cannot be exported (with the remedy), an unknown input
            shape, a forward pass that is something else, or an Input block that is not the chip's.
    """
    blocks = _blocks(module)
    for number, block in enumerate(blocks):
        where = f"block {number} ({type(block).__name__})"
        check_block(where, block)
        if number and type(block).__name__ in ("Input", "InputBlock", "SpikeInput"):
            raise BadInput(f"{where}: an input block must be the first")
    first = blocks[0]
    shape = _shape(first, input_shape)
    adopted: list[nn.Module]
    if isinstance(first, InputBlock | SpikeInput):
        adopted = blocks
    elif type(first).__name__ == "Input":
        adopted = [chip_input(first, shape, samples), *blocks[1:]]
    else:
        adopted = [SpikeInput(shape), *blocks]
        if hasattr(first, "synapse") and type(first).__name__ in ("Dense", "Affine"):
            adopted[1:1] = [] if shape[1:] == (1, 1) else [import_slayer().block.cuba.Flatten()]
    network = BlockNetwork(adopted, shape, offset=len(adopted) - len(blocks))
    network.frozen_copy()  # names the first block that does not fit the one before it
    network.untried = check_forward(module, network, blocks)
    return network


def _blocks(module: nn.Module) -> list[nn.Module]:
    held: Any = getattr(module, "blocks", module if isinstance(module, nn.Sequential) else None)
    if not isinstance(held, nn.ModuleList | nn.Sequential) or len(held) == 0:
        raise BadInput(
            f"network {type(module).__name__}: no `blocks`: an nn.ModuleList of lava-dl's blocks, "
            "run one after the other, is what can be exported"
        )
    return list(held)


def _shape(first: Any, given: Sequence[int] | None) -> Shape:
    if given is not None:
        sizes = tuple(int(size) for size in given)
        if len(sizes) not in (1, 3) or min(sizes) < 1:
            raise BadInput(f"input shape {sizes}: needs C, H, W or one number of features, above 0")
        return (sizes[0], sizes[1], sizes[2]) if len(sizes) == 3 else (sizes[0], 1, 1)
    synapse = getattr(first, "synapse", getattr(first, "input_synapse", None))
    known = getattr(first, "shape", None) if synapse is None else None
    if type(first).__name__ in ("Dense", "Affine", "Recurrent") and synapse is not None:
        known = synapse.weight.shape[1:4]
    if known is None or type(first).__name__ == "Flatten":
        raise BadInput(
            f"input shape: unknown, the first block ({type(first).__name__}) does not tell it; "
            "give C, H, W (--input-shape)"
        )
    channels, height, width = (*(int(size) for size in known), 1, 1)[:3]
    return channels, height, width
