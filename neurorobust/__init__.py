"""Train, export, check, run and attack spiking networks as they are deployed."""

__version__ = "0.1.0"
