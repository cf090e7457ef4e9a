"""SLAYER network -> NetxModel: the integers that the chip will hold.

Source: lava-dl 0.6.0, `lib/dl/slayer/block/base.py` (`export_hdf5` of each block),
`neuron/cuba.py` (`device_params`), `neuron/norm.py` and `synapse/layer.py`. lava-dl strips weight
norm from the network it exports, orphans the optimiser's parameters and leaves out what NetX does
not read: here a copy is exported, and what NetX would not read is folded or refused
(docs/export.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurorobust.export.blocks import make_layer
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.netx.chain import check_chain
from neurorobust.netx.model import NetxModel, SynapseLayer

__all__ = ["Export", "explain", "export"]


@dataclass(frozen=True)
class Export:
    """A network as integers, and what had to be done to get there.

    Attributes:
        model: without digest and path: `netx.write` gives it both.
        notes: one line for everything that was folded, replaced, left out or rounded.
        global_clock: the network was trained with `delay_shift` and has biases, which integrate
            before data arrive: what it learnt is what the chip does on the *global* clock.
        exact: whether it computes the training network's integers bit for bit; else a scaled
            batch norm was folded to the nearest (see the notes). Of a network whose own forward
            pass could not be tried, a note says so: it is exact for the blocks one after the other.
    """

    model: NetxModel
    notes: tuple[str, ...]
    global_clock: bool
    exact: bool


def export(network: BlockNetwork) -> NetxModel:
    """What the chip will hold.

    Works on a copy: the network's weights, graph and optimiser are not touched.

    Args:
        network: ours, trained or not; or any lava-dl network, `networks.adopt(module, shape)`.

    Returns:
        A model without digest and path: `netx.write` gives it both.

    Raises:
        BadInput: a block, or something in it, that no `.net` file can hold; it is named.
        ModelFileError: a weight, decay or threshold that is not a number or out of range.

    Example:
        >>> from neurorobust.networks import NetworkSpec, build
        >>> spec = NetworkSpec(kind="mlp", input_shape=(1, 8, 8), classes=10, steps=16)
        >>> [layer.kind for layer in export(build(spec)).layers]
        ['input', 'flatten', 'dense', 'dense']
    """
    return explain(network).model


def explain(network: BlockNetwork) -> Export:
    """`export`, with what was done on the way. Arguments and errors are the same."""
    copy = network.frozen_copy()
    made = [make_layer(copy, number) for number in range(len(copy.blocks))]
    layers = tuple(one.layer for one in made)
    notes = [network.untried] if network.untried else []
    notes += [note for one in made for note in one.notes]
    biased = any(
        isinstance(layer, SynapseLayer) and layer.bias is not None and bool(np.any(layer.bias))
        for layer in layers
    )
    if copy.shifted:
        notes.append(
            "delay_shift: the chip's own latency, not in the file; with biases the training "
            "network is the deployed one on the global clock"
            if biased
            else "delay_shift: switched off, without biases it only moves spikes in time"
        )
    shape = check_chain(layers, "export")
    return Export(
        model=NetxModel(input_shape=shape, layers=layers),
        notes=tuple(notes),
        global_clock=copy.shifted and biased,
        exact=all(one.exact for one in made),
    )
