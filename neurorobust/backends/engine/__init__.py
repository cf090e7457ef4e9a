"""The engine: batched, exact, differentiable.

In reading order: `synapses` packs weights, `plan` decides, `gemm` sums, `loops` compiles,
`lif_cpu` integrates, `adjoint_cpu` goes backward, `autograd` joins the layers, `backend` runs them.

Backward: `batch_parts` cuts the batch, `layer_adjoint` asks the mode, `transpose` takes gradients
through synapses (`products`, `event_gradient`), `weights` rounds what `trainable` trains.

On a GPU: `devices` opens it and `gpu/` runs it; only that package needs triton.
"""

from neurorobust.backends.engine.backend import EngineBackend
from neurorobust.backends.engine.plan import EnginePlan, make_plan
from neurorobust.backends.engine.trainable import TrainableEngine

__all__ = ["EngineBackend", "EnginePlan", "TrainableEngine", "make_plan"]
