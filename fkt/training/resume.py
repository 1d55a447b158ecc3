"""Unfinished runs: saved regularly, resumed at the exact step, never confused with another run."""

import hashlib
import json
import pickle
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fkt.core.errors import UserError
from fkt.core.files import replacing

SAVE_SECONDS = 30.0
"""Time between two saves, so that short runs do not pay for saving."""
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


class Resume:
    """The file of an unfinished run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved = time.monotonic()

    def load(self, module: nn.Module, optimizer: Optimizer) -> State:
        """Restore an unfinished run into the module and the optimizer, or return the state of a fresh run."""
        self._prune()
        if not self.path.is_file():
            self._mention_others()
            return State()
        device = next(module.parameters()).device
        try:
            content = torch.load(self.path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(
                f"{self.path}: the unfinished run cannot be read ({str(error).splitlines()[0]}); delete the file to "
                "start the run again"
            ) from error
        print(f"resuming from step {content['state']['step']}, saved in {self.path}", flush=True)
        module.load_state_dict(content["module"])
        optimizer.load_state_dict(content["optimizer"])
        return State(**content["state"])

    def due(self, *, last: bool) -> bool:
        """Return whether to save: some time after the last save, and at the end of a run that has saved before."""
        return time.monotonic() - self._saved >= SAVE_SECONDS or (last and self.path.is_file())

    def save(self, module: nn.Module, optimizer: Optimizer, state: State) -> None:
        """Save a run."""
        with replacing(self.path) as partial:
            torch.save(
                {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "state": vars(state)}, partial
            )
        self._saved = time.monotonic()

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
        """Delete old files. That of a finished run stays until then, in case DVC is killed before it caches the run."""
        if self.path.parent.is_dir():
            for path in self.path.parent.glob("*.pt*"):  # and partial ones of interrupted saves
                if time.time() - path.stat().st_mtime > KEEP_SECONDS:
                    path.unlink(missing_ok=True)


class Interrupt:
    """Ctrl-C ends a run after the current step, so that the run can be saved. A second Ctrl-C ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Self:
        """Handle SIGINT; only possible in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the earlier handler."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
