"""SLAYER networks, described as data and built from lava-dl's blocks (imported only when one is built)."""

from neurorobust.networks.network import SlayerNetwork, build
from neurorobust.networks.spec import NetworkSpec

__all__ = ["NetworkSpec", "SlayerNetwork", "build"]
