"""NIR graphs (Pedersen et al., Nature Communications 15, 2024) -> networks for the chip.

`read_graph` gives the float layers that a graph stands for, `quantise` the `NetxModel`, and
`FloatNetwork` runs what was read, so that what quantisation costs can be measured.
"""

from neurorobust.nir.graph import read_graph
from neurorobust.nir.layers import FloatLayer
from neurorobust.nir.quantise import LayerReport, Quantised, quantise
from neurorobust.nir.simulate import FloatNetwork

__all__ = ["FloatLayer", "FloatNetwork", "LayerReport", "Quantised", "quantise", "read_graph"]
