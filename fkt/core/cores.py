"""How many processors this process may use, and how many workers it is told to use (FKT_WORKERS); knows no torch."""

from __future__ import annotations

import os

from fkt.core.errors import UserError


def usable_cores() -> int:
    """Return the number of processors that this process may run on, which on a shared machine are not all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def asked_workers() -> int | None:
    """Return FKT_WORKERS, None where it is not set. Raises UserError where it is not a whole number."""
    text = os.environ.get("FKT_WORKERS")
    if text is None:
        return None
    if not text.isdecimal():
        raise UserError(f"FKT_WORKERS: '{text}' is not a number of workers; give a whole number from 0")
    return int(text)
