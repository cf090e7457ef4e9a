"""Weights of a user's network: a state dict as `.safetensors`, which is data and nothing else.

What `torch.save` writes is a pickle. torch promises to read it as data with `weights_only=True`;
before 2.6 a made-up file runs its own code nevertheless (CVE-2025-32434), and lava-dl needs a torch
before 2.4. So pickles are refused: docs/decisions/0004-no-pickled-weights.md.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor, nn

from neurorobust.errors import BadInput

SUFFIX = ".safetensors"
CONVERT = (
    "import sys, torch; from safetensors.torch import save_file; "
    "save_file({k: v.contiguous().clone() for k, v in "
    "torch.load(sys.argv[1], map_location='cpu').items()}, sys.argv[2])"
)


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file, on the CPU.

    Raises:
        BadInput: the file cannot be read, holds something else than named tensors, or is a pickle;
            the message says how to write it anew.
    """
    try:
        content = path.read_bytes()
        if path.suffix != SUFFIX:
            raise BadInput(
                f"weights {path}: not {SUFFIX}, the only kind that is read: a pickle can run code "
                "(CVE-2025-32434). Save with safetensors.torch.save_file(network.state_dict(), "
                f"...), or, if you trust this file: {convert_command(path)}"
            )
        return dict(parse_tensors(content))
    except OSError as error:
        raise BadInput(f"weights {path}: cannot be read: {error.strerror}") from error
    except SafetensorError as error:
        line = " ".join(str(error).split())[:200]
        raise BadInput(f"weights {path}: damaged, or no {SUFFIX} file ({line})") from error


def convert_command(path: Path) -> str:
    """The command that writes a pickled state dict anew, beside it."""
    return shlex.join(["python", "-c", CONVERT, str(path), str(path.with_suffix(SUFFIX))])


def load_state(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Put a trained state into a fresh network, whose lazy parts lava-dl has not sized yet.

    Running means, decays one a channel and delays have one entry until the first forward pass, and
    a recurrent block's last spikes are no weight: they are sized, taken as drawn, and left out.

    Raises:
        BadInput: names or shapes of the state are not the network's.
    """
    wanted = {name: value for name, value in state.items() if not name.endswith("spike_state")}
    own = {name: value for name, value in (*module.named_parameters(), *module.named_buffers())}
    for name, value in wanted.items():
        held = own.get(name)
        if held is not None and held.shape != value.shape and held.numel() == 1:
            held.data = torch.zeros_like(value, device=held.device)
    for name, value in wanted.items():
        if name in own and own[name].shape != value.shape:
            raise BadInput(
                f"weights {path}: do not fit {type(module).__name__}: {name} has shape "
                f"{tuple(value.shape)} in the file and {tuple(own[name].shape)} in the network"
            )
    missing, unexpected = module.load_state_dict(wanted, strict=False)
    missing = [name for name in missing if not name.endswith("spike_state")]
    if missing or unexpected:
        parts = [
            f"{what} {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if names[3:] else "")
            for what, names in (("missing", missing), ("unknown", unexpected))
            if names
        ]
        raise BadInput(f"weights {path}: do not fit {type(module).__name__}: {'; '.join(parts)}")
    for part in module.modules():
        _settled(part)


def _settled(part: Any) -> None:
    """Tell lava-dl's lazy parts that what they were given has been drawn already."""
    if hasattr(part, "current_decay_min") and part.current_decay.numel() > 1:
        for name in ("current_decay", "voltage_decay"):
            delattr(part, f"{name}_min")
            delattr(part, f"{name}_max")
        part.shared_param = True  # it is looked at only while they are drawn
    if hasattr(part, "grad_scale") and hasattr(part, "max_delay"):
        part.init = part.init or part.delay.numel() > 1 or bool(part.delay.detach().any())
