"""SLAYER networks: described as data, built from lava-dl's blocks (imported only then)."""

from neurorobust.networks.network import SlayerNetwork, build
from neurorobust.networks.spec import NetworkSpec

__all__ = ["NetworkSpec", "SlayerNetwork", "build"]
