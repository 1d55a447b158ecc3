"""Unfinished runs: saved regularly, resumed at the exact step, never confused with another run."""

import hashlib
import json
import os
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fkt.core.files import CannotWrite, replacing

SAVE_SECONDS = 5.0
"""Least time between two saves, so that short runs do not pay for saving."""
COST_RATIO = 150.0
"""Time between two saves, relative to what a save takes. It is a third where about half of the run is not saved yet."""
KEEP_SECONDS = 14 * 86400.0
"""Older unfinished runs are deleted at the next start."""


@dataclass
class State:
    """What a run needs to resume, besides the weights and the optimizer."""

    step: int = 0
    """Number of steps done."""
    rows: list[dict[str, float]] = field(default_factory=list)
    """The learning curve so far."""
    train_seconds: float = 0.0
    """Time spent on steps so far."""
    check_seconds: float = 0.0
    """Time spent on validation so far."""
    sums: dict[str, Tensor] = field(default_factory=dict)
    """Sums of the losses since the last row of the curve."""
    counted: dict[str, int] = field(default_factory=dict)
    """Number of steps in each of these sums."""
    kept_step: int = 0
    """The step whose weights are in ``kept``."""
    kept: dict[str, Tensor] | None = None
    """Weights of the best step so far; None if the last is kept."""


def fingerprint(**parts: Any) -> str:  # noqa: ANN401 - anything that JSON can hold
    """Return a digest of all that a run depends on besides its name and seed: settings, code, data."""
    text = json.dumps({"torch": torch.__version__, **parts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Damaged(Exception):
    """A file is not an intact save of this run; the message says why."""


class Resume:
    """The last two saves of an unfinished run. The name of the file is the key of the run, and is in the file too."""

    def __init__(self, path: Path) -> None:
        self.path, self.previous = path, path.with_name(f"{path.name}.previous")
        self._saved, self._saved_step = time.monotonic(), 0
        self._seconds = 0.0  # what the last save took

    def load(self, module: nn.Module, optimizer: Optimizer) -> State:
        """Restore an unfinished run into the module and the optimizer, or return the state of a fresh run.

        A damaged file, or one of another run, is set aside; then the save before it is used.
        """
        self._prune()
        found = False
        for path in (self.path, self.previous):
            try:
                content = self._read(path)
            except FileNotFoundError:
                continue
            except Damaged as damage:
                found, aside = True, path.with_name(f"{path.name}.unused")
                os.replace(path, aside)
                print(f"note: {path} is not used: {damage}; it is now {aside.name}", flush=True)
                continue
            print(f"resuming from step {content['state']['step']}, saved in {path}", flush=True)
            module.load_state_dict(content["module"])
            optimizer.load_state_dict(content["optimizer"])
            self._saved_step = content["state"]["step"]
            return State(**content["state"])
        if found:
            print("note: no earlier save can be used; the training starts again", flush=True)
        self._mention_others()
        return State()

    def due(self, step: int, steps: int) -> bool:
        """Return whether to save: this takes under 1 % of a run of minutes, and happens twice in a shorter one."""
        waited = time.monotonic() - self._saved
        ratio = COST_RATIO / 3 if step - self._saved_step >= 0.49 * steps else COST_RATIO
        return step < steps and waited >= max(SAVE_SECONDS, ratio * self._seconds)

    def save(self, module: nn.Module, optimizer: Optimizer, state: State) -> bool:
        """Save a run. Return False, after a warning, if that is not possible: the training can go on."""
        if next(module.parameters()).is_cuda:
            torch.cuda.synchronize()  # steps that the GPU has still to do are no cost of this
        began = time.monotonic()
        content = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "state": vars(state)}
        try:
            with replacing(self.path) as partial:
                with partial.open("wb") as file:
                    torch.save({"key": self.path.stem, **content}, file)
                    file.flush()
                    os.fsync(file.fileno())
                with suppress(FileNotFoundError):
                    os.replace(self.path, self.previous)
        except CannotWrite as error:
            print(f"warning: the training goes on, but is not saved: {error}", flush=True)
            self._saved, self._seconds = time.monotonic(), max(0.2, 2 * self._seconds)  # it tries less and less often
            return False
        self._saved, self._saved_step = time.monotonic(), state.step
        self._seconds = self._saved - began
        return True

    def finish(self) -> None:
        """Delete the saves of a run whose model is written."""
        for path in (self.path, self.previous):
            path.unlink(missing_ok=True)

    def _read(self, path: Path) -> Any:  # noqa: ANN401 - what ``save`` wrote
        """Raise Damaged if a file is not what ``save`` wrote for this run."""
        try:
            with zipfile.ZipFile(path) as archive:
                if (broken := archive.testzip()) is not None:  # torch.load does not compare the checksums
                    raise Damaged(f"it is damaged (wrong checksum of {broken})")
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (FileNotFoundError, MemoryError, Damaged):
            raise
        except Exception as error:  # errors of many kinds for damaged files
            if "allocate memory" in str(error):
                raise
            raise Damaged(f"it is damaged ({shorten(str(error), 100)})") from error
        if not isinstance(content, dict) or content.get("key") != self.path.stem:
            raise Damaged("it is of another run")
        return content

    def _mention_others(self) -> None:
        """Say that unfinished runs with other settings, data or code exist: they are not resumed."""
        stem = self.path.name.rsplit("-", 1)[0]  # the stage, the network and the seed
        if others := sorted(self.path.parent.glob(f"{stem}-*.pt")):
            print(
                f"note: not resumed: {', '.join(map(str, others))}, an unfinished run with other settings, data or "
                f"code; undo the edit to resume it; kept for {KEEP_SECONDS / 86400:.0f} days",
                flush=True,
            )

    def _prune(self) -> None:
        """Delete old files, and partial ones of saves that were killed."""
        for pattern, seconds in (("*.pt*", KEEP_SECONDS), (".*.partial*", 3600.0)):
            for path in self.path.parent.glob(pattern):
                with suppress(OSError):  # another process may delete it, too
                    if time.time() - path.stat().st_mtime > seconds:
                        path.unlink()
