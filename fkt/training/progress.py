"""Progress of a run: a bar on a terminal, plain lines elsewhere, and a note for 'fkt repro' and 'fkt status'."""

import os
import sys
import time

from tqdm import tqdm

from fkt.core.progress import Note, in_words

LINE_SECONDS, NOTE_SECONDS = 20.0, 1.0
"""Least time between two plain lines, and between two notes."""


class Progress:
    """Loss, images per second and time left of one run."""

    def __init__(self, label: str, steps: int, start: int, passes_per_step: int) -> None:
        self.label, self.steps, self.start, self.passes_per_step = label, steps, start, passes_per_step
        self.began = self.printed = self.noted = time.monotonic()
        self.row: dict[str, float] = {}
        self.note: Note | None = None
        self.bar = (
            tqdm(total=steps, initial=start, desc=label, unit="step", leave=False) if sys.stderr.isatty() else None
        )

    def update(self, step: int, row: dict[str, float] | None) -> None:
        """Show the progress. step: steps done; row: the newest row of the learning curve, if there is a new one."""
        now = time.monotonic()
        self.row = row or self.row
        if now - self.noted >= NOTE_SECONDS:
            self.noted = now
            stage = os.environ.get("DVC_STAGE", self.label)
            self.note = Note(stage, step, self.steps, self._left(step), self._numbers())
            self.note.write()
        if self.bar is not None:
            self.bar.update()
            if row is not None:
                self.bar.set_postfix_str(self._numbers())
        elif now - self.printed >= LINE_SECONDS or step == self.steps:
            self.printed = now
            speed = f"{(step - self.start) * self.passes_per_step / max(now - self.began, 1e-9):.0f} images/s"
            left = f", about {in_words(self._left(step))} left" if step < self.steps else ""
            said = [f"{100 * step // self.steps} %", f"step {step} of {self.steps}", self._numbers(), speed]
            print(f"{self.label}: {', '.join(filter(None, said))}{left}", flush=True)

    def close(self) -> None:
        """Remove the bar and the note."""
        if self.bar is not None:
            self.bar.close()
        if self.note is not None:
            self.note.remove()

    def _left(self, step: int) -> float:
        return (time.monotonic() - self.began) / max(step - self.start, 1) * (self.steps - step)

    def _numbers(self) -> str:
        """Return the loss and the validation accuracy of the newest row; empty before the first."""
        accuracy = f", val accuracy {100 * self.row['val_accuracy']:.1f} %" if "val_accuracy" in self.row else ""
        return f"loss {self.row['loss']:.3f}{accuracy}" if self.row else ""
