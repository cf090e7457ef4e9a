"""Targets that run a network: reference (the definition), engine (fast, exact), lava, slayer."""
