"""Is a user's own forward pass its blocks one after the other, which is all a `.net` file holds?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from neurorobust.errors import BadInput
from neurorobust.networks.block_network import BlockNetwork, Shape, thawed_copy
from neurorobust.networks.blocks import forget, is_recurrent
from neurorobust.networks.input import InputBlock
from neurorobust.types import Inputs

_DENSITY = 0.3


def check_forward(module: nn.Module, network: BlockNetwork, blocks: list[nn.Module]) -> str:
    """Whether the module gives what its blocks give one after the other; "" or why nobody knows.

    On copies, in which convolutions with decays one a channel have a single one (lava-dl's CPU
    code would lay them along the width): how blocks follow each other does not depend on it. Our
    InputBlock at the head is given random drive, other networks random spikes.

    Args:
        module: the user's.
        network: its blocks, adopted.
        blocks: the same blocks, without what was put in front.

    Raises:
        BadInput: it cannot be copied, it raises, or it gives something else than its blocks.
    """
    try:
        whole, parts = thawed_copy(module), thawed_copy(nn.ModuleList(blocks))
    except Exception as error:  # anything: it is the user's module
        raise BadInput(f"network {type(module).__name__}: cannot be copied: {error}") from error
    for copied in (whole, parts):
        copied.cpu().eval()
        for block in copied.modules():
            if type(block).__name__ in ("Conv", "Pool") and hasattr(block, "neuron"):
                _share_decays(block.neuron)
    driven = isinstance(blocks[0], InputBlock)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        if driven:
            tried = _drive(whole, parts[0], network.input_shape, len(blocks))
            if tried is None:
                return (
                    f"network {type(module).__name__}: its forward pass takes neither (drive, "
                    "steps) nor drive alone: whether it is its blocks one after the other was not "
                    "tried"
                )
            given, x = tried
        else:
            given, x = _feed(whole, network, len(blocks))
        _begin(parts)
        for block in parts[1:] if driven else parts:
            x = _tensor(block(x))
    given = _tensor(given)
    if given.numel() != x.numel() or not torch.equal(given.reshape(x.shape), x):
        raise BadInput(
            f"network {type(module).__name__}: its forward pass does not return what its blocks "
            "give one after the other, which is all that a .net file holds"
        )
    return ""


def _begin(network: nn.Module) -> None:
    """The same random numbers, and no state of an earlier pass, for every pass."""
    torch.default_generator.manual_seed(0)  # `torch.manual_seed` would seed GPUs too
    for block in network.modules():
        if is_recurrent(block):
            forget(block)


def _share_decays(neuron: Any) -> None:
    if neuron.shared_param and neuron.current_decay.numel() == 1:
        return
    for name in ("current_decay", "voltage_decay"):
        held = getattr(neuron, name)
        held.data = held.data[:1].clone()
        for end in ("min", "max"):
            if hasattr(neuron, f"{name}_{end}"):  # not drawn yet
                delattr(neuron, f"{name}_{end}")
    neuron.shared_param = True


def _feed(whole: nn.Module, network: BlockNetwork, depth: int) -> tuple[Any, Tensor]:
    """What the module answers to random spikes, and these as its first block is given them.

    A network that begins with a Dense block may flatten images itself, or want them flat.
    """
    x = _probe(network, depth)
    shapes = [x, x.flatten(1, -2)] if network.offset == 2 else [x]
    first: tuple[Tensor, Exception] | None = None
    for given in shapes:
        try:
            _begin(whole)
            return whole(given), shapes[-1]
        except Exception as error:  # anything: it is the user's code
            first = first or (given, error)
    assert first is not None
    given, problem = first
    raise BadInput(
        f"network {type(whole).__name__}: its forward pass on shape {tuple(given.shape)} "
        f"raised {type(problem).__name__}: {_line(problem)}"
    ) from problem


def _drive(whole: Any, first: InputBlock, shape: Shape, depth: int) -> tuple[Any, Tensor] | None:
    """What a module that begins with our InputBlock answers to drive, and that block's spikes.

    None where it takes no drive in any way that is known.
    """
    steps = 2 * depth + 6
    generator = torch.Generator().manual_seed(0)
    most = 2 * first.threshold + 2
    bias = torch.randint(0, most, (2, *shape), generator=generator, dtype=torch.int32)
    seen: list[Tensor] = []

    def spikes_of(drive: Tensor, steps: int = steps) -> Tensor:
        seen.append(first(drive, steps))
        return seen[-1]

    for block in whole.modules():
        if isinstance(block, InputBlock):
            block.forward = spikes_of  # type: ignore[method-assign, assignment]
    for given in ((bias, steps), (Inputs.drive(bias, steps),), (bias,)):
        seen.clear()
        try:
            _begin(whole)
            answer = whole(*given)
        except Exception:  # anything: it is the user's code, and takes drive in another way
            continue
        if len(seen) == 1:
            return answer, seen[0].clone()
    return None


def _probe(network: BlockNetwork, depth: int) -> Tensor:
    """Random spikes long enough to pass a step of delay a block; features alone have no H and W."""
    generator = torch.Generator().manual_seed(0)
    shape, steps = network.input_shape, 2 * depth + 6
    x = torch.rand((2, *shape, steps), generator=generator)
    if not isinstance(network.blocks[0], InputBlock):
        x = (x < _DENSITY).to(torch.float32)
    return x.flatten(1, -2) if shape[1:] == (1, 1) else x


def _tensor(answer: Any) -> Tensor:
    """The output itself, where a forward pass returns counts beside it."""
    while isinstance(answer, tuple | list):
        answer = answer[0]
    if not isinstance(answer, Tensor):
        raise BadInput(f"network: its forward pass gives {type(answer).__name__}, not spikes")
    return answer


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else ""
