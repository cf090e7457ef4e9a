"""Weights of a user's network: a state dict, read as data, never unpickled as code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor, nn

from neurorobust.errors import BadInput


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of `torch.save(network.state_dict())` or of a .safetensors file, on the CPU.

    Raises:
        BadInput: the file cannot be read, or holds something else than named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(parse_tensors(path.read_bytes()))
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadInput(f"weights {path}: cannot be read: {error.strerror}") from error
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise BadInput(
            f"weights {path}: damaged, or no state dict of tensors alone: save "
            "network.state_dict(), not the network"
        ) from error
    if not isinstance(held, dict):
        raise BadInput(f"weights {path}: holds {type(held).__name__}, not a state dict")
    for name, value in held.items():
        if not isinstance(value, Tensor):
            raise BadInput(
                f"weights {path}: entry {name!r} is {type(value).__name__}, not a tensor: save "
                "network.state_dict() alone"
            )
    return dict(held)


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
