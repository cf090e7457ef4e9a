"""Blocks in a row: what is exported, and what runs before export. Ours, or a user's own."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from neurorobust.errors import BadInput
from neurorobust.networks.blocks import is_recurrent

Shape = tuple[int, int, int]


class BlockNetwork(nn.Module):
    """A network that is its blocks, one after the other.

    Attributes:
        blocks: one module a layer of the `.net` file; a block's index is its layer's number. The
            first one is our InputBlock or SpikeInput.
        input_shape: C, H, W of one frame.
        offset: how many blocks stand before the first that the user wrote.
        shapes: C, H, W of what each block gives, once the network is settled.
        shifted: a frozen copy whose original has `delay_shift` in some block.
        untried: why nobody tried whether the user's own forward pass is the blocks; "" where it is.
    """

    def __init__(self, blocks: Iterable[nn.Module], input_shape: Shape, offset: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.input_shape = input_shape
        self.offset = offset
        self.shapes: tuple[Shape, ...] = ()
        self.shifted = False
        self.untried = ""

    def name(self, number: int) -> str:
        """What messages call a block: its place among the user's own, and its class."""
        return f"block {number - self.offset} ({type(self.blocks[number]).__name__})"

    def after_input(self) -> list[tuple[int, Any]]:
        """Every block behind the first, with its layer's number."""
        return list(enumerate(self.blocks))[1:]

    def settle(self) -> None:
        """Pass the shape of one frame through the synapses: lava-dl's blocks learn theirs from it.

        Draws nothing at random and runs no neuron. Weight norm and masks make their weights here.

        Raises:
            BadInput: a block that does not fit the one before it.
        """
        held = next(self.parameters(), torch.zeros(0))
        x = torch.zeros((1, *self.input_shape, 1), device=held.device)
        shapes = [self.input_shape]
        with torch.no_grad():
            for number, block in self.after_input():
                x = _through(self.name(number), block, x)
                shapes.append(_three(x.shape[1:-1]))
        self.shapes = tuple(shapes)

    def frozen_copy(self) -> BlockNetwork:
        """A deep copy on the CPU: it shares nothing, takes no gradients, shifts nothing in time.

        This network stays as it was. Weight norm leaves a tensor with a graph in the module, which
        torch cannot copy: the copy gets its values.
        """
        copy: BlockNetwork = thawed_copy(self).cpu().requires_grad_(False).eval()
        copy.shifted = any(getattr(block, "delay_shift", False) for block in copy.blocks)
        for block in copy.blocks:
            for name in ("delay_shift", "count_log"):
                if hasattr(block, name):
                    setattr(block, name, False)
        copy.settle()
        return copy


def thawed_copy(module: Any) -> Any:
    """`copy.deepcopy` of a module that may hold tensors with a graph: the copy has their values."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in (*vars(part).values(), *part._buffers.values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(module, memo)


def synapses(block: Any) -> list[Any]:
    """A block's synapses: one, or a recurrent block's two; none for what only has a shape."""
    if is_recurrent(block):
        return [block.input_synapse, block.recurrent_synapse]
    return [block.synapse] if hasattr(block, "synapse") else []


def _through(where: str, block: Any, x: Tensor) -> Tensor:
    if not synapses(block):  # a Flatten
        block.shape = [x[0, ..., 0].numel(), 1, 1]
        return x.reshape(1, -1, 1)
    synapse, neuron = synapses(block)[0], block.neuron
    plain = not synapse.complex and not synapse.weight_norm_enabled
    if getattr(block, "mask", None) is not None and plain:
        synapse.weight.data *= block.mask  # as its forward pass does; weight norm undoes it there
    try:
        sums: Tensor = synapse(x)
    except (RuntimeError, IndexError) as error:
        raise BadInput(
            f"{where}: cannot be given shape {_three(x.shape[1:-1])} (C, H, W): {_takes(synapse)}"
        ) from error
    made = sums.shape[1:-1]
    if neuron.shape is not None and _three(neuron.shape) != _three(made):
        raise BadInput(
            f"{where}: gives shape {_three(made)} here, but ran with {_three(neuron.shape)}: "
            "another input shape"
        )
    if not hasattr(neuron, "current_decay_min"):  # else its decays are yet to be drawn
        neuron.shape, neuron.num_neurons = made, made.numel()
    if block.delay is not None:
        block.delay.clamp()
    return sums


def _takes(synapse: Any) -> str:
    """`it takes 2 channels of 3x3 pixels or more, padding included`."""
    height, width = synapse.weight.shape[2:4]
    if type(synapse).__name__ == "Pool":
        return f"it takes windows of {height}x{width} pixels"
    channels = f"it takes {synapse.in_channels} channels"
    if (height, width) == (1, 1):
        return channels
    return f"{channels} of {height}x{width} pixels or more, padding included"


def _three(shape: Iterable[int]) -> Shape:
    channels, height, width = (*(int(size) for size in shape), 1, 1)[:3]
    return channels, height, width
