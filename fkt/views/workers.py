"""Worker processes that make things ahead of their use, in order; knows neither images nor views."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from fkt.core.hardware import requested_workers, usable_cores

T = TypeVar("T")


class _Made(Dataset[T], Generic[T]):
    """What a function makes of a number, as the dataset that a DataLoader asks for."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> T:
        return self.make(number)


def made_ahead(make: Callable[[int], T], numbers: range) -> Iterator[T]:
    """Yield make(number) for each number in order, made ahead in as many processes as ``num_workers`` says.

    make is pickled where processes are not forked, and must not need the device.
    """
    things = DataLoader(
        _Made(make),
        batch_size=None,
        sampler=numbers,
        num_workers=min(num_workers(), len(numbers)),
        worker_init_fn=_start,
        generator=torch.Generator(),  # its own: the global one belongs to the training
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of every fork beside threads; the workers use none of the parent's locks.
        warnings.filterwarnings("ignore", ".*multi-threaded.*fork", DeprecationWarning)
        running = iter(things)
    yield from running


def num_workers() -> int:
    """Return FKT_WORKERS, or by default one process for each core but one, at most 8, and none on two cores.

    Raises UserError where FKT_WORKERS is not a whole number.
    """
    asked, cores = requested_workers(), usable_cores()
    if asked is not None:
        return asked
    return 0 if cores <= 2 else min(8, cores - 1)


def _start(_worker: int) -> None:
    """Leave Ctrl-C to the parent process, which ends its workers without a traceback from each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _report_unless_parent_left


def _report_unless_parent_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say nothing where the parent has ended while something was being sent to it."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)
