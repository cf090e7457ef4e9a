"""Lava's own fixed-point simulation on this CPU as a target."""
