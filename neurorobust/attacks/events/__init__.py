"""Attacks on spikes and events: binary tensors uint8 `[batch, C, H, W, time]`."""

from neurorobust.attacks.base import Attack
from neurorobust.attacks.events.controls import PatchNoise, RandomDrop, RandomInsert
from neurorobust.attacks.events.flip_annealing import FlipAnnealing
from neurorobust.attacks.events.g2s import G2S
from neurorobust.attacks.events.gradient_flips import Sea, SpikeRandom, SpikeTopK
from neurorobust.attacks.events.gumbel import GumbelEvents
from neurorobust.attacks.events.patch import UniversalPatch
from neurorobust.attacks.events.patterns import Corner, Dash, Frame
from neurorobust.attacks.events.pointwise import Pointwise
from neurorobust.attacks.events.retiming import RandomJitter, Retiming
from neurorobust.attacks.events.sda import Sda
from neurorobust.attacks.events.search import FlipSearch, MoveSearch, PatchSearch
from neurorobust.attacks.events.sparse_search import SparseSearch
from neurorobust.attacks.events.spikefool import SpikeFool
from neurorobust.attacks.events.universal import UniversalSparse
from neurorobust.attacks.listing import Listed

LISTED: tuple[Listed[Attack], ...] = (
    Listed(
        SpikeTopK(),
        "flips that promise most by the gradient, a share of the budget a round",
        "greedy top-k as in SparseFool, Modas et al., CVPR 2019, without its line searches",
    ),
    Listed(
        Sea(),
        "the flips that promise most by one gradient",
        "SEA, ICLR 2025; on the scale-free cross-entropy: our form",
    ),
    Listed(
        Sda(),
        "flips that lower the loss, then as few of them as still break",
        "SDA: Lun et al., CVPR 2025",
    ),
    Listed(
        FlipSearch(),
        "gradient-ranked flips by their exact margins, then swaps",
        "SDA, CVPR 2025, ranks and keeps; exact margins and swaps are our form",
    ),
    Listed(
        FlipAnnealing(),
        "exactly ranked flips, then annealing of which ones are made",
        "annealing: Kirkpatrick et al., Science 1983; ranking and energies are our form",
    ),
    Listed(
        G2S(),
        "entries become what their gradient's sign says, by chance",
        "G2S: Liang et al., IEEE TNNLS 2021",
    ),
    Listed(
        SpikeFool(),
        "sparse steps to the linearised boundary, rounded to spikes",
        "SpikeFool: Büchel et al., Frontiers in Neuroscience 16, 2022",
    ),
    Listed(
        GumbelEvents(),
        "learned probabilities of flips, hard samples drawn from them",
        "raw-event attacks, ECCV 2024, known from a summary; our form",
    ),
    Listed(
        SparseSearch(),
        "random search over which entries to flip; 1000 queries",
        "Sparse-RS, AAAI 2022, for pixels; on spikes our form",
    ),
    Listed(
        Pointwise(),
        "from many flips back to few, by labels alone; 1000 queries",
        "Schott et al., ICLR 2019",
    ),
    Listed(
        UniversalSparse(),
        "one set of flips for all samples, made on other samples",
        "after Büchel et al., Frontiers in Neuroscience 16, 2022",
    ),
    Listed(
        Corner(),
        "inserted events in a square in one of the corners",
        "DVS-Attacks: Marchisio et al., IJCNN 2021",
    ),
    Listed(
        Frame(),
        "inserted events along the border of the sensor",
        "DVS-Attacks: Marchisio et al., IJCNN 2021",
    ),
    Listed(
        Dash(),
        "inserted events on short lines at the best place",
        "DVS-Attacks: Marchisio et al., IJCNN 2021",
    ),
    Listed(
        SpikeRandom(),
        "random flips, as many as the budget allows",
        "control of equal budget",
    ),
    Listed(
        RandomDrop(),
        "random spikes deleted, as many as the budget allows",
        "control of equal budget",
    ),
    Listed(
        RandomInsert(),
        "random spikes inserted, as many as the budget allows",
        "control of equal budget",
    ),
    Listed(
        Retiming(),
        "spikes moved in time by learned shifts; none made, none lost",
        "Yu et al., ICLR 2026 (arXiv:2602.03284); greedy under a total: our form",
    ),
    Listed(
        MoveSearch(),
        "gradient-ranked moves in time by their exact margins, then swaps",
        "SDA, CVPR 2025, ranks and keeps; exact margins and swaps are our form",
    ),
    Listed(
        RandomJitter(),
        "spikes moved in time at random",
        "control of equal budget",
    ),
    Listed(
        UniversalPatch(),
        "one patch for all samples, made on other samples",
        "Brown et al., 2017; on events after Büchel et al., 2022",
    ),
    Listed(
        PatchSearch(),
        "entries of one patch by their exact margins, then swaps",
        "SDA, CVPR 2025, ranks and keeps; exact margins and swaps are our form",
    ),
    Listed(
        PatchNoise(),
        "a patch of random entries anywhere",
        "control of equal budget",
    ),
)
EVENTS: dict[str, Attack] = {entry.member.name: entry.member for entry in LISTED}

__all__ = ["EVENTS", "LISTED"]
