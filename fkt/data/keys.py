"""Keyed randomness: a random draw depends on its key alone, not on the worker or on earlier draws."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def key_seed(*key: int | str) -> int:
    """Return the 63-bit seed of a key such as ``(seed, "order", epoch)``.

    numpy uses all bits. The CPU generator of torch uses the lower 32 bits.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def keyed_generator(*key: int | str) -> torch.Generator:
    """Return a generator seeded by a key. It is on the CPU, so that every device gets the same numbers."""
    import torch

    return torch.Generator().manual_seed(key_seed(*key))


@contextmanager
def seeded(*key: int | str) -> Iterator[None]:
    """Seed the global generator of torch by a key for the block, and restore it afterwards. Used for new weights."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key_seed(*key))
        yield
