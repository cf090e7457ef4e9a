from __future__ import annotations

import inspect
import re

import foolbox.attacks
import pytest
import torch
from foolbox.attacks.base import AttackWithDistance

from neurorobust.attacks import find
from neurorobust.attacks.images.foolbox_named import NEEDS, FoolboxAttack
from neurorobust.budgets import NORMS, ImageBudget
from neurorobust.errors import BadInput

CLASSES = {
    name: kind
    for name, kind in vars(foolbox.attacks).items()
    if inspect.isclass(kind) and issubclass(kind, AttackWithDistance) and name == kind.__name__
}


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", CLASSES)
def test_access_is_what_the_code_does(name: str):
    """Who differentiates says so in the source of the class or its parents."""
    if name in (*NEEDS, "VirtualAdversarialAttack"):
        with pytest.raises(BadInput, match=f"foolbox:{name}': needs"):
            find(f"foolbox:{name}")
        return
    attack = find(f"foolbox:{name}")
    source = "".join(
        inspect.getsource(parent)
        for parent in CLASSES[name].__mro__[:-1]
        if parent.__module__ != "abc"
    )
    assert (attack.access == "white-box") is (re.search("_and_grad", source) is not None)
    assert (attack.access == "score") is (name == "GenAttack")
    assert attack.name == f"foolbox:{name}"
    if "Brendel" not in name:  # seconds of compiling
        assert set(attack.norms) <= set(NORMS)


def test_some_names():
    assert len(CLASSES) > 40
    assert find("foolbox:HopSkipJump").norms == ("l2",)
    assert find("foolbox:LinfDeepFoolAttack").norms == ("linf",)
    assert find("foolbox:L0FMN").norms == ("l0",)
    assert find("foolbox:InversionAttack").norms == NORMS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("foolbox:Magic", "attack 'foolbox:Magic': no such attack with a distance"),
        ("foolbox:SpatialAttack", "no such attack with a distance"),
        ("foolbox:DatasetAttack", "needs a data set, which a name does not give"),
        ("foolbox:VirtualAdversarialAttack", "needs steps, which a name does not give"),
    ],
)
def test_what_a_name_cannot_give_is_refused(name: str, message: str):
    with pytest.raises(BadInput, match=message):
        find(name)


def test_another_norm_or_criterion_is_refused(spiking):
    classifier = spiking()
    x = torch.rand(2, 1, 4, 4, generator=seeded())
    labels = classifier.predict(x)
    with pytest.raises(BadInput, match=r"foolbox:HopSkipJump: needs a budget on images \(l2\)"):
        find("foolbox:HopSkipJump")(classifier, x, labels, ImageBudget(0.1), seeded())
    with pytest.raises(BadInput, match="foolbox:GenAttack: cannot be run: unsupported criterion"):
        find("foolbox:GenAttack")(classifier, x, labels, ImageBudget(0.1), seeded())


@pytest.mark.parametrize("name", ["LinfDeepFool", "DDN", "HopSkipJump", "L1FMN", "FGSM"])
def test_the_nearest_boundary_is_found(linear, name: str):
    """A plane at a known distance: who may go farther gets there, who may not stays on its side.

    "There" is across, or short of it by a tenth of the way: on which side of a boundary a library
    that looks for the smallest change ends is up to the last bit of its floats.
    """
    slope = torch.tensor([3.0, -1.0, 2.0, 4.0, -6.0, 0.5])
    classifier = linear(torch.stack([slope, -slope]))
    x = 0.4 + 0.2 * torch.rand(4, 1, 1, 6, generator=seeded())
    labels = classifier.predict(x)
    attack = FoolboxAttack(name, queries=800)
    dual = {"linf": slope.abs().sum(), "l2": slope.norm(), "l1": slope.abs().max()}
    distance = (x.flatten(1) @ slope).abs() / dual[attack.norms[0]]
    near, far = (ImageBudget(f * float(distance.max()), attack.norms[0]) for f in (0.2, 1.5))

    def left(budget: ImageBudget) -> torch.Tensor:
        """Share of the way to the plane that is left; below 0: across."""
        found = attack(classifier, x, labels, budget, seeded())
        return (found.flatten(1) @ slope) / (x.flatten(1) @ slope)

    assert (left(far) < 0.1).all()
    assert (distance > near.epsilon).all()
    assert (left(near) > 0).all()


def test_who_cannot_start_does_not_stop_the_others(linear):
    """HopSkipJump finds no first point where one class is everywhere: that sample stays."""
    weight = torch.tensor([[1.0, 1.0, 50.0], [-1.0, -1.0, 0.0]])
    classifier = linear(weight)
    x = torch.tensor([[0.2, 0.2, 0.9], [0.3, 0.3, 0.8]]).view(2, 1, 1, 3)
    labels = torch.tensor([0, 1])  # the second is wrong from the start
    attack = FoolboxAttack("HopSkipJump", queries=200)
    found = attack(classifier, x, labels, ImageBudget(0.5, "l2"), seeded())
    assert classifier.predict(found).tolist() == [0, 0]
    assert found.shape == x.shape
