"""Keyed randomness: a draw depends on what it is for and on nothing else (no worker, no history)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def key_seed(*key: int | str) -> int:
    """Return the 63-bit seed that belongs to a key such as ``(seed, "order", epoch)``.

    numpy takes all of it; torch's generator on the CPU takes the low 32 bits.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def keyed_generator(*key: int | str) -> torch.Generator:
    """Return a CPU generator seeded by a key; on the CPU, so that every device draws the same numbers."""
    import torch

    return torch.Generator().manual_seed(key_seed(*key))


@contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """Seed torch's global generator for the block by a key, and restore it afterwards: for fresh weights."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key_seed(*key))
        yield
