"""Progress of a run: a bar on a terminal, plain lines elsewhere."""

import sys
import time

from tqdm import tqdm

LINE_SECONDS = 15.0
"""Least time between two plain lines."""


class Progress:
    """Loss, images per second and time left of one run."""

    def __init__(self, label: str, steps: int, start: int, passes_per_step: int) -> None:
        self.label, self.steps, self.start, self.passes_per_step = label, steps, start, passes_per_step
        self.began = self.printed = time.monotonic()
        self.bar = (
            tqdm(total=steps, initial=start, desc=label, unit="step", leave=False) if sys.stderr.isatty() else None
        )

    def update(self, step: int, row: dict[str, float] | None) -> None:
        """Show the progress. step: steps done; row: the newest row of the learning curve, if there is a new one."""
        if self.bar is not None:
            self.bar.update()
            if row is not None:
                self.bar.set_postfix_str(self._numbers(step, row))
        elif row is not None and (time.monotonic() - self.printed >= LINE_SECONDS or step == self.steps):
            self.printed = time.monotonic()
            print(f"{self.label}: step {step}/{self.steps}, {self._numbers(step, row)}", flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self.bar is not None:
            self.bar.close()

    def _numbers(self, step: int, row: dict[str, float]) -> str:
        seconds = max(time.monotonic() - self.began, 1e-9)
        done = step - self.start
        left = seconds / max(done, 1) * (self.steps - step)
        accuracy = f", val accuracy {100 * row['val_accuracy']:.1f} %" if "val_accuracy" in row else ""
        speed = f"{done * self.passes_per_step / seconds:.0f} images/s"
        return f"loss {row['loss']:.3f}{accuracy}, {speed}, {left:.0f} s left"
