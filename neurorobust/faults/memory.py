"""The weights of a `.net` file as bits: which there are, what one weighs, and flipping it.

A matrix whose weights are all even (SLAYER's are) is held as weight / 2 in 8 bits, two's
complement: every code stands for a legal weight, -256 to 254. One with an odd weight is held as it
is in 9 bits; 255, and a weight below 0 beside one of 255, are what NetX cannot hold: those flips
are not offered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurorobust.errors import BadInput
from neurorobust.fixedpoint import WEIGHT_MAX
from neurorobust.netx.model import IntArray, Layer, NetxModel

BoolArray = npt.NDArray[np.bool_]
Place = tuple[int, str]  # a layer's number, and the name of one of its `matrices`
BITS = 8  # of an even weight


@dataclass(frozen=True, order=True)
class Flip:
    """One bit of one weight.

    Attributes:
        layer: number in the file.
        name: `weight` or `weight_rec`.
        index: place in the matrix, flattened as stored.
        bit: 0 is the least.
    """

    layer: int
    name: str
    index: int
    bit: int


@dataclass(frozen=True, eq=False)
class Matrix:
    """One matrix as memory.

    Attributes:
        weight: int64, flattened; its entries change as bits are flipped.
        unit: what the least bit weighs, 2 or 1.
        bits: of a weight, 8 or 9.
    """

    weight: IntArray
    unit: int
    bits: int

    @staticmethod
    def of(weight: IntArray) -> Matrix:
        """A copy of a layer's weights."""
        flat = np.array(weight, dtype=np.int64).reshape(-1)
        even = not np.any(flat % 2)
        return Matrix(flat, 2 if even else 1, 8 if even else 9)

    def changes(self, index: int | slice = slice(None)) -> IntArray:
        """What each flip adds to its weight, `[weights, bits]`, or `[bits]` of one."""
        place = np.arange(self.bits)
        worth = self.unit * (1 << place)
        worth[-1] = -worth[-1]  # the sign
        held = ((self.weight[index] // self.unit)[..., None] >> place) & 1
        change: IntArray = np.where(held == 1, -worth, worth)
        return change

    def allowed(self, index: int | slice = slice(None)) -> BoolArray:
        """Which flips leave a matrix that NetX can hold; shape as `changes`."""
        after = self.weight[index][..., None] + self.changes(index)
        fits: BoolArray = after <= WEIGHT_MAX
        if self.bits > BITS and self.weight.max() > WEIGHT_MAX:
            fits &= after >= 0
        if np.count_nonzero(self.weight) == 1:
            fits &= (after != 0) | (self.weight[index][..., None] == 0)
        return fits


class Memory:
    """All matrices of a network, to be changed bit by bit; the model itself stays as it is.

    Raises:
        BadInput: the network has no weights.
    """

    def __init__(self, model: NetxModel) -> None:
        self._model = model
        self.matrices: dict[Place, Matrix] = {
            (layer.number, name): Matrix.of(weight)
            for layer in model.layers
            for name, weight in layer.matrices().items()
        }
        if not self.matrices:
            raise BadInput("weight bits: the network has no layer with weights")

    def __len__(self) -> int:
        """Bits in all."""
        return sum(matrix.weight.size * matrix.bits for matrix in self.matrices.values())

    def flip(self, flip: Flip) -> None:
        """Flip one bit; the same flip again takes it back.

        Raises:
            BadInput: no such bit, or what remains cannot be held.
        """
        matrix = self.matrices.get((flip.layer, flip.name))
        if matrix is None:
            raise BadInput(f"weight bits: layer {flip.layer} has no {flip.name}")
        size = matrix.weight.size
        if not (0 <= flip.index < size and 0 <= flip.bit < matrix.bits):
            raise BadInput(
                f"weight bits: layer {flip.layer} has {size} weights of {matrix.bits} bits, "
                f"no weight {flip.index}, bit {flip.bit}"
            )
        change = int(matrix.changes(flip.index)[flip.bit])
        if not matrix.allowed(flip.index)[flip.bit]:
            raise BadInput(
                f"weight bits: layer {flip.layer}: NetX cannot hold "
                f"{matrix.weight[flip.index] + change} as weight {flip.index}"
            )
        matrix.weight[flip.index] += change

    def model(self) -> NetxModel:
        """The network as it is now."""
        return self._model.with_layers(self._stored(layer) for layer in self._model.layers)

    def _stored(self, layer: Layer) -> Layer:
        return layer.with_matrices(
            {
                name: self.matrices[layer.number, name].weight.reshape(stored.shape).copy()
                for name, stored in layer.matrices().items()
            }
        )


def flipped(model: NetxModel, flips: Iterable[Flip]) -> NetxModel:
    """The network with these bits flipped, one after the other.

    Raises:
        BadInput: see `Memory.flip`.
    """
    memory = Memory(model)
    for flip in flips:
        memory.flip(flip)
    return memory.model()
