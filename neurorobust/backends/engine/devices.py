"""Where the engine computes: `cpu`, or a CUDA device if there is one and triton for it."""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING

import torch

from neurorobust.backends.engine.memory import MEMORY_LIMIT
from neurorobust.errors import BadInput, UnavailableError
from neurorobust.netx.model import NetxModel

if TYPE_CHECKING:
    from neurorobust.backends.engine.gpu.engine import GpuEngine

OLDEST_TRITON = (3, 2)  # the first whose sums may be told that they are meant to wrap


def open_device(
    model: NetxModel,
    device: str = "cpu",
    gradient: str = "float32",
    memory_limit: int = MEMORY_LIMIT,
) -> GpuEngine | None:
    """The model on a GPU, or None where the device is the CPU.

    Args:
        model: the network, already known to fit together.
        device: `cpu`, `cuda`, or `cuda:N`.
        gradient: precision of the backward pass's products.
        memory_limit: bytes that a run may take on the GPU beside its inputs and results, about.

    Raises:
        BadInput: another device.
        UnavailableError: there is no such GPU here, or no triton that could compile for it.
    """
    if device == "cpu":
        return None
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise BadInput(f"engine: device {device!r} unknown, known: cpu, cuda, cuda:N")
    place = torch.device(device)
    if not torch.cuda.is_available():
        raise UnavailableError(f"engine: device {device}: torch finds no CUDA device, use cpu")
    if (place.index or 0) >= torch.cuda.device_count():
        raise UnavailableError(
            f"engine: device {device}: torch finds {torch.cuda.device_count()} CUDA devices"
        )
    check_triton()
    from neurorobust.backends.engine.gpu.engine import GpuEngine

    if place.index is None:
        place = torch.device("cuda", torch.cuda.current_device())
    return GpuEngine(model, place, gradient, memory_limit)


def check_triton() -> None:
    """Refuse to go on without a triton that has what the kernels use.

    Raises:
        UnavailableError: triton is missing or too old.
    """
    try:
        version = str(importlib.import_module("triton").__version__)
    except ImportError:
        raise UnavailableError(
            "engine: device cuda needs triton: pip install triton (Linux; comes with torch's CUDA "
            "builds)"
        ) from None
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found < OLDEST_TRITON:
        wanted = ".".join(map(str, OLDEST_TRITON))
        raise UnavailableError(
            f"engine: device cuda needs triton {wanted}, found {version}: pip install -U torch"
        )
