"""The float network as SLAYER (lava-dl) trained it, run on this CPU."""
