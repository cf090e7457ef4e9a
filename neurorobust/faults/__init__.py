"""Adversaries that perturb no single input: bits of the weights, state that one sample leaves."""
