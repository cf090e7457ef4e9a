"""The definition: one sample, one step, one layer after the other, in plain integers."""
