"""SLAYER networks: described as data, built from lava-dl's blocks (imported only then)."""

from neurorobust.networks.adopt import adopt
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.networks.network import SlayerNetwork, build
from neurorobust.networks.spec import NetworkSpec

__all__ = ["BlockNetwork", "NetworkSpec", "SlayerNetwork", "adopt", "build"]
