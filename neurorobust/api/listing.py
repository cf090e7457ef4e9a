"""What there is: networks with a name, attacks, and the machine that this runs on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurorobust import netx
from neurorobust.models import catalogue

if TYPE_CHECKING:  # networks are listed without torch
    from neurorobust.attacks import Attack
    from neurorobust.attacks.listing import Listed as Entry


@dataclass(frozen=True)
class Listed:
    """A network that has a name here.

    Attributes:
        name: `load` takes it.
        origin: `shipped` or `lava-dl wheel`.
        path: the `.net` file.
        sha256: of the file.
        about: one line.
        sizes: neurons of each layer.
        input_shape: C, H, W.
    """

    name: str
    origin: str
    path: Path
    sha256: str
    about: str
    sizes: tuple[int, ...]
    input_shape: tuple[int, ...]


def list_networks() -> tuple[Listed, ...]:
    """The networks that have a name here: shipped ones, and those in the lava-dl wheel.

    Raises:
        ModelFileError: a file is damaged.

    Example:
        >>> {listed.name: listed.sizes for listed in list_networks()}["digits-mlp"]
        (64, 128, 10)
    """
    found = []
    for entry in catalogue().values():
        model = netx.read(entry.path)
        sizes = tuple(math.prod(layer.shape) for layer in model.spiking_layers)
        found.append(
            Listed(
                entry.name,
                entry.origin,
                entry.path,
                model.sha256,
                entry.about,
                sizes,
                tuple(model.input_shape),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Environment:
    """What a result computed here depends on.

    Attributes:
        versions: of Python and of packages.
        machine: operating system, architecture, processor, cores.
        loihi2: whether a Loihi 2 board can be asked for, in words.
    """

    versions: dict[str, str]
    machine: dict[str, str]
    loihi2: str


def info() -> Environment:
    """Versions, machine, and whether a Loihi 2 board can be asked for.

    Example:
        >>> "python" in info().versions
        True
    """
    from neurorobust.backends.loihi2.probe import verdict
    from neurorobust.provenance import machine, versions

    return Environment(versions(), machine(), verdict())


def list_attacks() -> dict[str, list[dict[str, Any]]]:
    """What there is to attack with, read from the registries, each with its source.

    Returns:
        rows by `recipes`, `attacks`, `controls`, `modes` (backward) and `budgets`.

    Example:
        >>> [row["name"] for row in list_attacks()["attacks"] if row["name"] == "sda"]
        ['sda']
    """
    from neurorobust.attacks import LISTED, modes
    from neurorobust.attacks.recipes import LATEST, RECIPES
    from neurorobust.budgets import KINDS

    rows = [_row(entry) for entry in LISTED]
    short = {name: alias for alias, name in LATEST.items()}
    return {
        "recipes": [
            {
                "name": recipe.name,
                "also": short.get(recipe.name),
                "about": f"{len(recipe.ready().members)} attacks and controls, "
                "each on what survived those before it",
                "source": "ours: docs/attacks.md",
                "attacks": list(dict.fromkeys(one.attack.name for one in recipe.members)),
            }
            for recipe in RECIPES.values()
        ],
        "attacks": [row for row in rows if not row["control"]],
        "controls": [row for row in rows if row["control"]],
        "modes": [
            {"name": entry.member.name, "about": entry.about, "source": entry.source}
            for entry in modes.LISTED
        ],
        "budgets": [
            {
                "option": f"--{kind.name}",
                "about": kind.about,
                "typed": list(kind.examples),
                "heading": kind.heading,
            }
            for kind in KINDS.values()
        ],
    }


def _row(entry: Entry[Attack]) -> dict[str, Any]:
    attack = entry.member
    return {
        "name": attack.name,
        "budget": f"--{attack.kind}",
        "norms": list(getattr(attack, "norms", ())),
        "access": attack.access,
        "control": attack.control,
        "about": entry.about,
        "source": entry.source,
    }
