"""Which of lava-dl's blocks a `.net` file can hold, and what to do about the others."""

from __future__ import annotations

from torch import nn

from neurorobust.errors import BadInput
from neurorobust.networks.blocks import SpikeInput
from neurorobust.networks.input import InputBlock

CUBA = ("Input", "Flatten", "Dense", "Recurrent", "Conv", "Pool", "Affine")
KNOWN = f"lava-dl's cuba {', '.join(CUBA)}, and InputBlock and SpikeInput of neurorobust.networks"
REMEDIES = {
    "Unpool": "NetX loads no unpool layer: repeat pixels in the encoder, or leave it out",
    "ConvT": "NetX loads no transposed convolution: use a Conv block with stride 1",
    "KWTA": "lava-dl writes an empty group for it: use a Recurrent block whose own weights inhibit",
    "TimeDecimation": "NetX has no such layer: bin the input over time in the encoder",
    "Average": "NetX cannot load it: end the network before it, the readout takes the mean",
}


def check_block(where: str, block: nn.Module) -> None:
    """Refuse a block that has no place in a `.net` file.

    Args:
        where: what messages call it: `block 3 (KWTA)`.
        block: any module of a network.

    Raises:
        BadInput: naming the block, its class and the remedy.
    """
    kind, module = type(block).__name__, type(block).__module__
    if isinstance(block, InputBlock | SpikeInput) or (
        kind in CUBA and module.endswith("slayer.block.cuba")
    ):
        return
    family = module.rpartition(".")[2]
    if ".slayer.block." in f".{module}" and kind in REMEDIES:
        remedy = REMEDIES[kind]
    elif ".slayer.block." in f".{module}" and family not in ("cuba", "base"):
        remedy = f"its {family} neurons are not computed here, only slayer.block.cuba (CUBA/LIF) is"
    else:
        remedy = f"known: {KNOWN}"
    raise BadInput(f"{where}: {module}.{kind} cannot be exported; {remedy}")
