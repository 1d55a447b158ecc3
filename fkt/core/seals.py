"""Checksums of the files that a stage writes, checked before another stage reads them."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fkt.core.errors import CorruptData
from fkt.core.files import file_digest, write_json

SEAL = "checksums.json"
"""File of a folder with the sha256 of each other file."""
SMALL = 2**24
"""Bytes of a file up to which its content is read at every check."""
VALID_SECONDS = 3600
"""For so long, a larger file whose size and time have not changed counts as checked."""


def seal(folder: Path) -> None:
    """Write the checksums of the files in a folder, at the end of the stage that has written them."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != SEAL]
    write_json(folder / SEAL, {path.name: file_digest(path) for path in files})


def check_sealed(path: Path, remedy: str) -> None:
    """Raise CorruptData if a file is not what its stage wrote. A folder without checksums is not checked."""
    stored = path.parent / SEAL
    if not stored.is_file():
        return
    try:
        checksums: dict[str, str] = dict(json.loads(stored.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CorruptData(f"{stored} is damaged ({error}); {remedy}") from error
    check_files(path.parent, {path.name: checksums.get(path.name, "")}, remedy)


def check_files(folder: Path, checksums: Mapping[str, str], remedy: str) -> None:
    """Raise CorruptData if a file of a folder is missing or damaged. checksums: name -> sha256."""
    for name, digest in checksums.items():
        path = folder / name
        if not path.is_file():
            raise CorruptData(f"{path} is missing; {remedy}")
        if not _is_unchanged(path, digest):
            raise CorruptData(f"{path} is damaged: its content is not what the stage wrote; {remedy}")


def with_digest(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON file with a checksum of itself."""
    return content | {"digest": _digest(content)}


def without_digest(content: dict[str, Any]) -> dict[str, Any]:
    """Return what ``with_digest`` got, or content without a checksum. Raises ValueError if the content has changed."""
    kept = {name: value for name, value in content.items() if name != "digest"}
    if content.get("digest") not in (None, _digest(kept)):
        raise ValueError("its content does not fit its checksum")
    return kept


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def restored_by(path: Path, stage: str) -> str:
    """Return the remedy for a damaged output of a DVC stage."""
    return f"get it back with 'dvc checkout --force {path}', or make it anew with 'dvc repro --force -s {stage}'"


def _is_unchanged(path: Path, digest: str) -> bool:
    """Compare a file with its checksum. A large one is not read again within VALID_SECONDS."""
    found = path.stat()
    if found.st_size <= SMALL:
        return file_digest(path) == digest
    known, now = _memory(), time.time()
    state = [digest, found.st_size, found.st_mtime_ns, found.st_ino]
    before = known.get(str(path.resolve()))
    if before and before["state"] == state and 0 <= now - before["time"] < VALID_SECONDS:
        return True
    unchanged = file_digest(path) == digest
    if unchanged and _memory_file().parent.is_dir():
        with suppress(OSError):  # it only saves time
            write_json(_memory_file(), known | {str(path.resolve()): {"state": state, "time": now}})
    return unchanged


def _memory_file() -> Path:
    """Return the file of the last checks. It is not an output, so that DVC does not delete it."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".dvc" / "tmp" / "fkt-checked.json"


def _memory() -> dict[str, dict[str, Any]]:
    """Return the checks that are still valid, by path."""
    with suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
        stored = json.loads(_memory_file().read_text(encoding="utf-8"))
        return {path: one for path, one in stored.items() if time.time() - one["time"] < VALID_SECONDS}
    return {}
