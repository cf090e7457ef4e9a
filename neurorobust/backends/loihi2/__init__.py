"""A Loihi 2 board as a target, through the paths that Lava has for it; untested on hardware."""
