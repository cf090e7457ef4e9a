"""Train, export, check, run and attack spiking networks as they are deployed (Lava fixed point, Loihi 2)."""

__version__ = "0.1.0"
