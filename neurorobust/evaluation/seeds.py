"""A stream of randomness of its own for every piece of work, whatever runs it and in what order."""

from __future__ import annotations

import hashlib

import torch


def fork(seed: int, *words: str | int | float) -> torch.Generator:
    """A CPU generator seeded by the words.

        first 8 bytes (big-endian, top bit cleared) of SHA-256 of "seed|word|word|..."
        for example of "0|7|'pgd-linf'|'eps'|0.1"

    Words are written by `repr`, so 0.1 and 0.10 are the same word. No global state is touched.
    """
    text = "|".join(repr(word) for word in (seed, *words))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") & ((1 << 63) - 1))
