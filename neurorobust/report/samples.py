"""The examples in samples.npz -> what the page can draw, checked.

Arrays keep the type they have in the file: spikes in int64 would take eight times the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from neurorobust.budgets import KINDS
from neurorobust.errors import BadInput
from neurorobust.support.files import read_npz

MOST = 100  # examples of a kind; an evaluation keeps six

Array = npt.NDArray[Any]
Images = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Kind = TypeVar("Kind", Images, Integers)


@dataclass(frozen=True)
class Pair(Generic[Kind]):
    """The same thing of one input, unchanged and attacked, equal in shape."""

    clean: Kind
    attacked: Kind


@dataclass(frozen=True)
class Example:
    """One successful adversarial input.

    Attributes:
        index: its number in the set's own order.
        group: a kind of budget, one of `budgets.KINDS`.
        budget: as typed.
        attack: name of the attack that broke it.
        label: the true class.
        before: the answer when unchanged.
        after: the answer when attacked.
        image: `[C, H, W]` in [0, 1], where the adversary changed an image.
        entered: spikes into the first synapse, 0/1 `[neurons, time]`.
        left: spikes of the output layer, 0/1 `[neurons, time]`.
        membrane: v of the output layer after the last step, `[neurons]`.
    """

    index: int
    group: str
    budget: str
    attack: str
    label: int
    before: int
    after: int
    image: Pair[Images] | None
    entered: Pair[Integers] | None
    left: Pair[Integers] | None
    membrane: Pair[Integers] | None


def read_examples(path: Path) -> list[Example]:
    """Every example in a samples file, smallest budget first; none where nothing was broken.

    Raises:
        BadInput: missing, damaged, or shapes that contradict each other.
    """
    arrays = read_npz(path, prefix="example/")
    return [example for group in KINDS for example in _examples(_Group(path, arrays, group))]


class _Group:
    """The arrays of one group of examples, checked as they are asked for."""

    def __init__(self, path: Path, arrays: dict[str, Array], name: str) -> None:
        self.name = name
        start = f"example/{name}/"
        self.place = f"{path}: array {start}"
        self.arrays = {
            key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)
        }
        self.size = len(self.array("index", axes=1, kinds="iu")) if self.arrays else 0
        if self.size > MOST:
            raise BadInput(f"{self.place}index names {self.size} examples, the limit is {MOST}")

    def array(self, name: str, *, axes: int, kinds: str) -> Array:
        """One array with this many axes, whose numpy kind is one of these."""
        if name not in self.arrays:
            raise BadInput(f"{self.place}{name} is missing")
        array = self.arrays[name]
        if array.ndim != axes or array.dtype.kind not in kinds:
            raise BadInput(
                f"{self.place}{name} is {array.dtype} with {array.ndim} axes, "
                f"need {axes} axes of numpy kind {' or '.join(kinds)}"
            )
        if name != "index" and (len(array) != self.size or 0 in array.shape[1:]):
            raise BadInput(f"{self.place}{name} has shape {array.shape} for {self.size} examples")
        return array

    def integers(self, name: str, axes: int = 1) -> Integers:
        """Whole numbers (or booleans)."""
        array = self.array(name, axes=axes, kinds="iub")
        return array.view(np.uint8) if array.dtype == np.bool_ else array

    def spikes(self, name: str, axes: int) -> Integers:
        """Integers that are 0 or 1."""
        spikes = self.integers(name, axes)
        if spikes.min(initial=0) < 0 or spikes.max(initial=0) > 1:
            raise BadInput(f"{self.place}{name} holds spikes that are neither 0 nor 1")
        return spikes.astype(np.uint8, copy=False)

    def images(self, name: str) -> Images:
        """Finite floats."""
        images = self.array(name, axes=4, kinds="f")
        if not np.isfinite(images).all():
            raise BadInput(f"{self.place}{name} holds pixels that are not finite")
        return images

    def pairs(self, name: str, read: Callable[[str], Kind]) -> list[Pair[Kind] | None]:
        """Both sides of every example; None where no attacked side is stored (images and flips)."""
        if f"{name}/adversarial" not in self.arrays:
            return [None] * self.size
        clean, attacked = read(f"{name}/clean"), read(f"{name}/adversarial")
        if clean.shape != attacked.shape:
            raise BadInput(
                f"{self.place}{name}/adversarial has shape {attacked.shape}, clean {clean.shape}"
            )
        return [Pair(clean[number], attacked[number]) for number in range(self.size)]


def _examples(group: _Group) -> Iterator[Example]:
    if not group.arrays:
        return
    names = ("index", "label", "predicted/clean", "predicted/adversarial")
    index, label, before, after = (group.integers(name) for name in names)
    budget, attack = (group.array(name, axes=1, kinds="U") for name in ("budget", "attack"))
    images = group.pairs("image", group.images)
    entered = group.pairs("input", lambda name: _flat(group.spikes(name, axes=5)))
    left = group.pairs("output", lambda name: group.spikes(name, axes=3))
    membranes = group.pairs("membrane", lambda name: group.integers(name, axes=2))
    for number in range(group.size):
        yield Example(
            index=int(index[number]),
            group=group.name,
            budget=str(budget[number]),
            attack=str(attack[number]),
            label=int(label[number]),
            before=int(before[number]),
            after=int(after[number]),
            image=images[number],
            entered=entered[number],
            left=left[number],
            membrane=membranes[number],
        )


def _flat(spikes: Integers) -> Integers:
    """`[E, C, H, W, T]` -> `[E, neurons, T]`, neurons in C, H, W order."""
    return spikes.reshape(len(spikes), -1, spikes.shape[-1])
