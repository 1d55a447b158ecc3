"""How far a training is, in a small file that 'fkt repro' and 'fkt status' read, and times in words."""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fkt.core.files import write_json

NOTES = Path(".ckpt") / "progress"
"""The folder of the files, in the project's root: git and DVC ignore it, and no result depends on it."""


@dataclass(frozen=True)
class Note:
    """How far a running training is."""

    stage: str
    """Name of the DVC stage, such as ``pretrain@0``."""
    step: int
    steps: int
    seconds_left: float
    """Of this training, at the speed so far."""
    numbers: str = ""
    """The newest loss and validation accuracy, in words."""
    folder: str = field(default_factory=lambda: str(Path.cwd()))
    """Where it runs: queued experiments run in folders of their own."""
    pid: int = field(default_factory=os.getpid)
    time: float = field(default_factory=time.time)
    """When the note was written, in seconds since 1970."""

    @property
    def percent(self) -> int:
        """Part of the steps that is done."""
        return 100 * self.step // self.steps

    @property
    def path(self) -> Path:
        """The file of this process. DVC_ROOT is the original repository, also of an experiment in a copy."""
        return Path(os.environ.get("DVC_ROOT", ".")) / NOTES / f"{self.pid}.json"

    def write(self) -> None:
        """Write the file. A full disk must not stop a training here."""
        with suppress(OSError):
            write_json(self.path, asdict(self))

    def remove(self) -> None:
        """Remove the file, at the end of the training."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def read_notes(root: Path) -> list[Note]:
    """Return the notes of the trainings that run now, by stage; remove those of processes that have ended."""
    found = []
    for path in (root / NOTES).glob("[!.]*.json"):
        with suppress(OSError, ValueError, TypeError):
            note = Note(**json.loads(path.read_text(encoding="utf-8")))
            if is_running(note.pid):
                found.append(note)
            else:
                path.unlink(missing_ok=True)
    return sorted(found, key=lambda note: (note.folder, note.stage))


def is_running(pid: int) -> bool:
    """Return whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def in_words(seconds: float) -> str:
    """Return a length of time with about two digits: 40 s, 3 min, 2 h 10 min, 3.5 days."""
    if seconds < 59.5:
        return f"{max(1, seconds):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        minutes = minutes if minutes < 120 else round(minutes / 10) * 10
        return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
    return f"{minutes / 60 / 24:.1f} days"
