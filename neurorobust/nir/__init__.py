"""NIR graphs (Pedersen et al., Nature Communications 15, 2024) -> networks for the chip.

`read_graph` gives the float layers that a graph stands for, `quantise` the `NetxModel`, and
`simulate.FloatNetwork` runs what was read, so that what quantisation costs can be measured. Reading
and quantising need no torch: a `.nir` file is read in a small process of its own.
"""

from neurorobust.nir.guarded import read_graph
from neurorobust.nir.layers import FloatLayer
from neurorobust.nir.quantise import LayerReport, Quantised, quantise

__all__ = ["FloatLayer", "LayerReport", "Quantised", "quantise", "read_graph"]
