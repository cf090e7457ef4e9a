"""The engine on a GPU; only this package needs triton.

`gemm` sums exactly in int8, `synapses` and `conv` put the sums together, `lif` integrates,
`adjoint` goes backward, `layer` is one layer, `autograd` all of them both ways, `engine` what
`EngineBackend` calls.
"""
