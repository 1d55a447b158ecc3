"""Signals that ask a process to end. Does not import torch."""

import ctypes
import os
import signal
import sys
import threading
from types import TracebackType
from typing import Any, Self

from fkt.core.errors import UserError

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


class Stopped(KeyboardInterrupt):
    """A signal has ended the work of this process."""

    def __init__(self, number: int, said: str = "") -> None:
        """said: what became of the work."""
        super().__init__(said)
        self.number = number


def prepare_to_stop() -> None:
    """Call this before slow imports: Ctrl-C during them is one line, and a stage does not outlive DVC.

    Linux sends SIGTERM to a stage whose DVC has died. On other systems the lock of the stage is the only protection.
    """
    sys.excepthook = _said_in_one_line
    if sys.platform == "linux" and "DVC_STAGE" in os.environ:
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _said_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def stop_signals() -> list[signal.Signals]:
    """Return the signals that ask a process to end: Ctrl-C, SIGTERM, SIGHUP, and FKT_SIGNAL if it is set.

    FKT_SIGNAL is the early warning of a scheduler, such as USR1. SIGHUP is left out where nohup ignores it. Raises
    UserError if FKT_SIGNAL is unknown.
    """
    names = ["SIGINT", "SIGTERM"]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        names.append("SIGHUP")
    if asked := os.environ.get("FKT_SIGNAL"):
        names.append(f"SIG{asked.upper().removeprefix('SIG')}")
    if names[-1] not in signal.Signals.__members__ or names[-1] in ("SIGKILL", "SIGSTOP"):
        raise UserError(f"FKT_SIGNAL: '{asked}' is not a signal that can be handled; choose one such as USR1")
    return [signal.Signals[name] for name in dict.fromkeys(names)]


class StopSignals:
    """Note the signals that ask this process to end, instead of ending."""

    def __init__(self, *, twice_ends: bool) -> None:
        """twice_ends: a second Ctrl-C ends the process at once.

        A second other signal does not: a scheduler signals both DVC and the stage, and the death of DVC is one more.
        """
        self.twice_ends = twice_ends
        self.count = 0
        self.number: int | None = None
        """The newest signal."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Handle the signals; only possible in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in stop_signals()}
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the earlier handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: object) -> None:
        if self.twice_ends and self.count and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.count += 1
        self.number = number
