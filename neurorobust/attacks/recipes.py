"""The released recipes, as data.

A recipe never changes after its release: a better one gets another number. Every number in it is a
parameter of the attack as written here, not a default from elsewhere.
"""

from __future__ import annotations

from neurorobust.attacks.base import Attack
from neurorobust.attacks.events.controls import PatchNoise
from neurorobust.attacks.events.flip_annealing import FlipAnnealing
from neurorobust.attacks.events.g2s import G2S
from neurorobust.attacks.events.gradient_flips import SpikeRandom, SpikeTopK
from neurorobust.attacks.events.patch import UniversalPatch
from neurorobust.attacks.events.retiming import RandomJitter, Retiming
from neurorobust.attacks.events.sda import Sda
from neurorobust.attacks.events.search import FlipSearch, MoveSearch, PatchSearch
from neurorobust.attacks.events.sparse_search import SparseSearch
from neurorobust.attacks.images.autoattack import Apgd, FabT
from neurorobust.attacks.images.corner_search import CornerSearch
from neurorobust.attacks.images.noise import UniformNoise
from neurorobust.attacks.images.pgd import Pgd
from neurorobust.attacks.images.pixel_annealing import PixelAnnealing
from neurorobust.attacks.images.sa_pgd import SaPgd
from neurorobust.attacks.images.square import Square
from neurorobust.attacks.modes import find_mode, surrogate
from neurorobust.attacks.recipe import EVERY, STRONGEST, Member, Recipe
from neurorobust.budgets import NORMS

WIDTHS = (surrogate("fast-sigmoid", 0.25), surrogate("fast-sigmoid", 1.0))


def _pgd(steps: int, loss: str, *, stop: bool) -> tuple[Attack, ...]:
    """One PGD for each norm, its path as long as `pgd-<norm>` has it."""
    reach = {"linf": 2.5, "l2": 10.0, "l1": 10.0, "l0": 2.5}
    return tuple(
        Pgd(f"pgd-{norm}", (norm,), steps, path, restarts=1, draws=10, loss=loss, stop=stop)
        for norm, path in reach.items()
    )


def _momentum(loss: str) -> Attack:
    """PGD with momentum in every norm, from two starts."""
    return Pgd(
        f"momentum-{loss}",
        NORMS,
        steps=100,
        reach=4.0,
        restarts=2,
        draws=10,
        loss=loss,
        decay=0.75,
        stop=True,
    )


_CORNERS = CornerSearch(
    "corner-search",
    steps=30,
    reach=4.0,
    decay=0.75,
    loss="margin",
    restarts=10,
    queries=2000,
    trial=256,
    hope=5.0,
    chances=2,
    pool=16,
    draws=10,
)


STANDARD_1 = Recipe(
    name="standard-1",
    members=(
        # images
        Member(UniformNoise()),
        *(
            Member(SaPgd(steps=100, restarts=1, draws=10, loss="margin", stop=True), mode)
            for mode in ("assg-0.425", "assg-0.35", "assg-0.465")
        ),
        Member(Apgd("apgd-ce", "ce", steps=100, restarts=1, draws=10, stop=True), EVERY),
        Member(
            Apgd("apgd-t", "dlr-targeted", steps=100, restarts=1, targets=9, draws=10, stop=True),
            STRONGEST,
            classes=4,
        ),
        Member(FabT("fab-t", steps=100, restarts=1, targets=3, draws=10, stop=True), STRONGEST),
        Member(Square("square", queries=5000, share=0.8)),
        # flips of spikes
        Member(SpikeRandom()),
        Member(
            Sda(steps=500, growth=10, excess=4, patience=100, rounds=3, pool=16),
            "fast-sigmoid-0.25",
        ),
        Member(G2S(steps=25, turnover=0.05, threshold=1.5, loss="margin"), "fast-sigmoid-0.25"),
        Member(SparseSearch(queries=1000, fewest=False)),
        # moves of spikes in time
        Member(RandomJitter()),
        Member(Retiming(steps=40, rounds=10, overflow=20.0), "fast-sigmoid-0.25"),
        Member(Retiming(steps=40, rounds=10, overflow=20.0), "straight-through-1"),
    ),
    modes=(
        "fast-sigmoid-0.25",
        "triangle-1",
        "atan-2",
        "sigmoid-1",
        "gaussian-1",
        "straight-through-1",
        "assg-0.425",
        "rga",
        "hart-0.5",
        "pdsg",
        "bptr",
        "rotation",
    ),
    choosers=(Apgd("apgd-ce", "ce", steps=25, restarts=1, draws=10, stop=True),),
    probes=_pgd(20, "ce", stop=True),
    targeted=(*_pgd(40, "margin", stop=False), SpikeTopK(rounds=10)),
    widths=WIDTHS,
)

# backward modes of the annealing's starts, in turn: narrow ones, and wide ones
STARTS = (
    surrogate("fast-sigmoid", 0.1),
    find_mode("sigmoid-1"),
    find_mode("fast-sigmoid-0.25"),
    find_mode("triangle-1"),
    surrogate("atan", 0.1),
    find_mode("rga"),
)

IMAGES_2 = (
    Member(UniformNoise()),
    *(
        Member(SaPgd(steps=100, restarts=1, draws=10, loss="margin", stop=True), mode)
        for mode in ("assg-0.425", "assg-0.35")
    ),
    *(
        Member(Apgd("apgd-ce", "ce", steps=100, restarts=1, draws=10, stop=True), mode)
        for mode in ("fast-sigmoid-0.25", "assg-0.425", "sigmoid-1", "rga")
    ),
    Member(_momentum("ce"), "fast-sigmoid-0.25"),
    Member(_momentum("margin"), "triangle-1"),
    Member(
        Apgd("apgd-t", "dlr-targeted", steps=100, restarts=1, targets=5, draws=10, stop=True),
        STRONGEST,
        classes=4,
    ),
    Member(Square("square", queries=2000, share=0.8), followed=False),
    Member(Square("square", queries=2000, share=0.8), followed=True, norms=("l2", "l1")),
    *(
        Member(_CORNERS, mode, followed=False)
        for mode in ("fast-sigmoid-0.25", "sigmoid-1", "triangle-1")
    ),
    Member(
        PixelAnnealing(
            lives=60,
            moves=6_000,
            effort=6_000_000_000,
            least=1_000_000_000,
            steps=30,
            reach=4.0,
            decay=0.75,
            modes=STARTS,
        ),
        followed=True,
    ),
)
# the modes of the exact searches on spikes, in turn
SEARCHED = tuple(
    find_mode(name)
    for name in (
        "fast-sigmoid-0.25",
        "triangle-1",
        "atan-2",
        "straight-through-1",
        "sigmoid-1",
        "rga",
    )
)

# STANDARD_2, events
EVENTS_2 = (
    # flips of spikes
    Member(SpikeRandom()),
    Member(
        Sda(steps=500, growth=10, excess=4, patience=100, rounds=3, pool=16),
        "fast-sigmoid-0.25",
    ),
    Member(
        FlipSearch(queries=16000, pool=48, drops=3, swaps=32, steps=24, patience=3, modes=SEARCHED),
        followed=False,
    ),
    Member(
        FlipAnnealing(
            lives=300,
            moves=8_000,
            effort=12_000_000_000,
            least=1_500_000_000,
            first=40_000,
            pool=300,
        ),
        followed=True,
    ),
    # moves of spikes in time
    Member(RandomJitter()),
    Member(Retiming(steps=40, rounds=10, overflow=20.0), "fast-sigmoid-0.25"),
    Member(Retiming(steps=40, rounds=10, overflow=20.0), "straight-through-1"),
    Member(
        MoveSearch(queries=6000, pool=48, drops=3, swaps=32, steps=24, patience=3, modes=SEARCHED)
    ),
    # patches
    Member(PatchNoise()),
    Member(UniversalPatch(steps=15, places=4), "fast-sigmoid-0.25"),
    Member(
        PatchSearch(
            queries=1500,
            pool=48,
            drops=3,
            swaps=32,
            steps=24,
            patience=3,
            modes=SEARCHED,
            places=4,
        )
    ),
)
STANDARD_2 = Recipe(
    name="standard-2",
    members=(*IMAGES_2, *EVENTS_2),
    modes=STANDARD_1.modes,
    choosers=(Apgd("apgd-ce", "ce", steps=25, restarts=1, draws=10, stop=True),),
    probes=(
        *_pgd(20, "ce", stop=True),
        SpikeTopK(rounds=10),
        Retiming(steps=20, rounds=10, overflow=20.0),
        UniversalPatch(steps=15, places=4),
    ),
    targeted=(
        *_pgd(40, "margin", stop=False),
        SpikeTopK(rounds=10),
        Retiming(steps=40, rounds=10, overflow=20.0),
        UniversalPatch(steps=15, places=4),
    ),
    widths=WIDTHS,
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (STANDARD_1, STANDARD_2)}
LATEST = {"standard": STANDARD_2.name}


def find_recipe(name: str) -> Recipe | None:
    """A recipe by name (`standard`: the latest version of that one); None: no recipe's name."""
    return RECIPES.get(LATEST.get(name, name))
