"""Errors that a user can fix. Each message says what is wrong, what was given, and what to do.

Only these errors are shown without a traceback (see ``reported``); any other error is a mistake in this code.
"""

import difflib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fkt.core.lock import stage_lock
from fkt.core.text import abbreviated, one_line


class UserError(Exception):
    """A mistake that the user can fix. The message is complete, has no control characters, and no endless line."""

    longest = 1000
    """Characters of a line."""

    def __init__(self, message: str) -> None:
        """message: one line or several."""
        super().__init__("\n".join(abbreviated(one_line(line), self.longest) for line in message.split("\n")))


class ParamsError(UserError):
    """params.yaml does not describe a valid experiment."""

    longest = 300


class DatasetNotFound(UserError):
    """The raw data are not in the expected place."""


class CorruptData(UserError):
    """Raw or prepared data cannot be read."""


class CheckpointError(UserError):
    """A stored model does not fit its use."""


class Diverged(UserError):
    """Training produced a value that is not finite."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not in a table."""
    choices = sorted(known)
    return f"unknown {what} '{one_line(name)}'; choose from: {', '.join(choices)}{did_you_mean(name, choices)}"


def plural(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 file``, ``2 files``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Turn a lack of memory, of this machine or of the GPU, into a UserError.

    what: what ran; remedy: the parameters to lower.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or re.search("out of memory|allocate memory|ALLOC_FAILED", text):
            asked = re.search(r"(?i)(?:tried|unable) to allocate \d+(?:\.\d+)? ?\w+", text)
            details = f" ({asked[0][0].lower()}{asked[0][1:]})" if asked else ""
            raise UserError(f"{what}: not enough memory{details}; lower {remedy}") from error
        raise


@contextmanager
def reported() -> Iterator[None]:
    """Turn a UserError into one message on standard error and exit status 1, a signal to stop into 128 + its number.

    DVC deletes the outputs of a stage before it runs the command. If the command then fails, or Ctrl-C ends it, the
    outputs are restored from DVC's cache, so that a mistake costs no result.
    """
    try:
        with stage_lock(), _outputs_restored():
            yield
    except UserError as error:
        sys.stdout.flush()
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as stop:
        number = _number(stop)
        said = f" by {signal.Signals(number).name}" if number != signal.SIGINT else ""
        said += f" ({stop})" if str(stop) else ""
        try:
            sys.stdout.flush()
            print(f"interrupted{said}; finished stages are kept", file=sys.stderr, flush=True)
        except OSError:  # the terminal is gone; Python would write to it again at its end
            os._exit(128 + number)
        sys.exit(128 + number)


def _number(stop: KeyboardInterrupt) -> int:
    return getattr(stop, "number", int(signal.SIGINT))


@contextmanager
def _outputs_restored() -> Iterator[None]:
    try:
        yield
    except Exception:
        _restore_outputs()
        raise
    except KeyboardInterrupt as stop:
        if _number(stop) == signal.SIGINT:  # after other signals there may be no time
            _restore_outputs()
        raise


def _restore_outputs() -> None:
    """Check out the last outputs of the stage that DVC is running, if it has any."""
    stage = os.environ.get("DVC_STAGE")
    if stage is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "checkout", "--quiet", "--force", stage]
        # It fails if the stage never ran; then there is nothing to restore.
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - our own arguments
