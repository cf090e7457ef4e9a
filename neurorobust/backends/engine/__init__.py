"""The engine: batched, exact, differentiable.

In reading order: `synapses` packs weights, `plan` decides, `gemm` sums, `loops` compiles,
`lif_cpu` integrates, `adjoint_cpu` goes backward, `autograd` joins them into a layer, `backend`
runs the layers.
"""

from neurorobust.backends.engine.backend import EngineBackend
from neurorobust.backends.engine.plan import EnginePlan, make_plan

__all__ = ["EngineBackend", "EnginePlan", "make_plan"]
