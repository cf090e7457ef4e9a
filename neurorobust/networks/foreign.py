"""`module:factory`: a lava-dl network of the user's own project, with its trained weights."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from neurorobust.errors import BadInput
from neurorobust.networks.adopt import adopt
from neurorobust.networks.block_network import BlockNetwork
from neurorobust.networks.lava_dl import import_slayer, older_weight_norm
from neurorobust.networks.state import load_state, read_state
from neurorobust.support import user_code


def load_foreign(
    name: str,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    samples: Tensor | None = None,
) -> BlockNetwork:
    """Call the factory, put the weights in, adopt the network.

    What the user's code prints goes to stderr.

    Args:
        name: `module:factory`; the module is looked for in the current folder too. The factory
            takes no arguments (a class of `nn.Module` is one) and returns the network.
        weights: the state dict as .safetensors; None: as the factory made it.
        input_shape: see `adopt`.
        samples: see `adopt`.

    Raises:
        BadInput: no such module or factory, it raises, what it returns is no network, the weights
            do not fit, or `adopt` refuses it.
        UnavailableError: lava-dl is not installed.
    """
    import_slayer()  # quietly, before the user's module does it
    with contextlib.redirect_stdout(sys.stderr), older_weight_norm():
        factory = user_code.find("network", name)
        try:
            module = factory()
        except Exception as error:  # anything: it is the user's code
            reason = user_code.line(error)
            raise BadInput(f"network {name}: the factory raised {reason}") from error
        if not isinstance(module, nn.Module):
            raise BadInput(
                f"network {name}: the factory returned {type(module).__name__}, need nn.Module"
            )
        if weights is not None:
            load_state(module, read_state(weights), weights)
        return adopt(module.eval(), input_shape, samples)
