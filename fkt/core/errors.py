"""What a user can have done wrong; each error says the thing, the value and the remedy.

Only these errors are shown without a traceback (see ``reported``): anything else is our own mistake.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something that the user can put right; the message is complete as it stands."""


class ParamsError(UserError):
    """params.yaml does not describe an experiment."""


class DatasetNotFound(UserError):
    """The raw data are not where they are expected."""


class CorruptData(UserError):
    """Raw or prepared data cannot be read as what they claim to be."""


class CheckpointError(UserError):
    """A stored model does not fit what it is loaded into."""


class Diverged(UserError):
    """Training produced a value that is not finite."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is in no registry, listing what is."""
    choices = sorted(known)
    return f"unknown {what} '{name}'; choose from: {', '.join(choices)}{did_you_mean(name, choices)}"


@contextmanager
def reported() -> Iterator[None]:
    """Turn a UserError into one clear message on standard error and exit status 1.

    DVC deletes a stage's outputs before it starts the command. Where the command then finds that it cannot go on, they
    are taken back out of DVC's cache, so that a mistake costs no result.
    """
    try:
        yield
    except UserError as error:
        sys.stdout.flush()
        _restore_outputs()
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as stop:
        saved = f" ({stop}; the next run goes on from there)" if str(stop) else ""
        sys.exit(f"interrupted{saved}; finished stages are kept")


def _restore_outputs() -> None:
    """Check out what the stage that DVC is running last left, if it ever left anything."""
    stage = os.environ.get("DVC_STAGE")
    if stage is not None:
        command = [sys.executable, "-m", "dvc", "checkout", "--quiet", "--force", stage]
        # It fails where nothing was ever made, and then there is nothing to restore.
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - our own arguments
