"""What a person sees while stages run: lines that stay, and one line that is always the present state."""

import shutil
import sys
import time

LINE_SECONDS = 20.0
"""Without a terminal, the line of the present state is printed once in so many seconds."""


class Screen:
    """The terminal, or a log."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()
        self._printed = time.monotonic()

    def say(self, text: str) -> None:
        """Print lines that stay."""
        self.clear()
        print(text, flush=True)

    def show(self, line: str) -> None:
        """Replace the line of the present state."""
        if self.is_terminal:
            self.clear()
            print(line[: shutil.get_terminal_size().columns - 1], end="", flush=True)
        elif time.monotonic() - self._printed >= LINE_SECONDS:
            self._printed = time.monotonic()
            print(line, flush=True)

    def clear(self) -> None:
        """Remove the line of the present state."""
        if self.is_terminal:
            print("\r\x1b[K", end="", flush=True)
