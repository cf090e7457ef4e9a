"""Seeds the global random generators while another library's attack runs, and restores them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """The global generators of torch, numpy and Python, seeded by one draw from `generator`.

    Afterwards they are as they were.
    """
    seed = int(torch.randint(2**31, (), generator=generator))
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (what others draw from)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy)  # noqa: NPY002
            random.setstate(python)
