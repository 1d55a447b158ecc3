"""Files that are never left half written, their checksums, and their names as text."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fkt.core.errors import UserError
from fkt.core.text import one_line as one_line

NOT_OURS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
"""Reasons why a write fails that are no mistake in this code."""


class CannotWrite(UserError, OSError):
    """A file cannot be written: the disk is full, or the folder may not be written to."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; its file replaces ``path`` when the block ends without an error.

    Each process has a temporary name of its own: two workers of a queue may write the same file. Raises CannotWrite.
    """
    partial = path.with_name(f".{path.name}.partial{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__  # torch.save hides it
        if not isinstance(cause, OSError) or cause.errno not in NOT_OURS:
            raise
        remedy = f"free space in {path.parent} or make it writable, then run again"
        raise CannotWrite(f"{path} cannot be written ({cause.strerror}); {remedy}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: object) -> None:
    """Write JSON with sorted keys."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write numpy arrays as npz. Equal arrays give equal bytes."""
    import numpy as np

    save = np.savez_compressed if compressed else np.savez
    with replacing(path) as partial, partial.open("wb") as file:  # given a path, numpy would append .npz
        save(file, allow_pickle=False, **arrays)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
