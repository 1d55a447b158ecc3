"""How far the stages are, for a person: on the screen, and in a file that 'fkt status' shows elsewhere."""

import os
import textwrap
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fkt.core.files import write_json
from fkt.core.progress import in_words, read_notes
from fkt.jobs.forecast import LIGHT, LIGHT_SECONDS, Forecast
from fkt.jobs.processes import Pipeline, said
from fkt.jobs.screen import Screen

STATUS = Path(".ckpt") / "status.json"
"""The present state, while 'fkt repro' runs."""
BEAT_SECONDS = 1.0
"""Time between two states."""
LINE_WIDTH = 100
"""Characters in a line."""
SHOWN_LINES = 20
"""Lines of the log of a failed stage that are shown."""
OVERDUE = 0.2
"""A stage that takes longer than expected is expected to take this part of its time once more."""
SOON = 0.05
"""Part of a training after which its speed tells how long it takes."""


@dataclass
class Watch:
    """What has run, what runs, and what is left; see Pipeline for the names."""

    pipeline: Pipeline
    is_light: Callable[[str], bool]
    """Whether a stage only leaves a note. Such stages are not counted."""
    forecast: Forecast
    jobs: int
    screen: Screen = field(default_factory=Screen)
    running: dict[str, float] = field(default_factory=dict)
    """When each running stage began."""
    unchanged: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each stage that has run."""
    lines: list[str] = field(default_factory=list)
    """Kinds that are done, as printed."""

    def __post_init__(self) -> None:
        """Note when all this began."""
        self.began, self._beat = time.monotonic(), 0.0
        names = self.pipeline.names
        self.kinds = {name: LIGHT if self.is_light(name) else name.split("@")[0] for name in names}
        self.status = self.pipeline.root / STATUS

    def starts(self, names: Sequence[str]) -> None:
        """Note that a job starts."""
        self.running |= dict.fromkeys(names, time.monotonic())

    def stops(self, names: Sequence[str]) -> None:
        """Note that a job has ended without a result, and runs again or not."""
        for name in names:
            self.running.pop(name, None)

    def skips(self, names: Collection[str]) -> None:
        """Note that stages are up to date."""
        self.unchanged |= set(names)
        self._complete(names)

    def ends(self, names: Sequence[str]) -> None:
        """Note that a job is done, and print the kinds of stages that are complete."""
        if not names:
            return
        seconds = (time.monotonic() - self.running[names[0]]) / len(names)
        for name in names:
            del self.running[name]
            self.seconds[name] = seconds
            self.forecast.learn(self.kinds[name], seconds)
        self._complete(names)

    def fails(self, name: str, log: Path, text: str) -> None:
        """Note that a stage failed, and print the end of what it said."""
        seconds = in_words(time.monotonic() - self.running.pop(name))
        self.failed.append(name)
        lines = said(text).splitlines()[-SHOWN_LINES:]
        ending = "\n".join(f"    {line}" for line in lines)
        self.screen.say(f"{title(name)} failed after {seconds}; the end of {os.path.relpath(log)}:\n{ending}")

    def beat(self) -> None:
        """Show the present state, once in a while."""
        now = time.monotonic()
        if now - self._beat < BEAT_SECONDS:
            return
        self._beat = now
        line, running = self._state()
        self.screen.show(line)
        waiting = dict.fromkeys(self.kinds[name] for name in self._waiting())
        content = {"pid": os.getpid(), "time": time.time(), "line": line, "done": self.lines, "running": running}
        with suppress(OSError):
            write_json(self.status, content | {"waiting": [kind for kind in waiting if kind != LIGHT]})

    def close(self) -> None:
        """Remove the present state."""
        self.screen.clear()
        with suppress(OSError):
            self.status.unlink(missing_ok=True)

    @property
    def total(self) -> int:
        """Number of stages."""
        return self._counted(self.kinds)

    def summary(self) -> str:
        """Return how many stages ran and how many were up to date, and the time."""
        ran, unchanged = self._counted(self.seconds), self._counted(self.unchanged)
        if not ran:
            return f"nothing to run: all {unchanged} stages are up to date"
        seconds = time.monotonic() - self.began
        words = f" ({in_words(seconds)})" if seconds >= 100 else ""
        return f"{ran} stage{'s' if ran > 1 else ''} run in {seconds:,.0f} s{words}" + (
            f", {unchanged} {'was' if unchanged == 1 else 'were'} up to date" if unchanged else ""
        )

    def _complete(self, names: Collection[str]) -> None:
        """Print a line for each kind of these stages that is complete, if any of it ran."""
        for kind in dict.fromkeys(self.kinds[name] for name in names):
            members = [name for name, one in self.kinds.items() if one == kind]
            ran = [self.seconds[name] for name in members if name in self.seconds]
            if kind == LIGHT or not ran or not self._done().issuperset(members):
                continue
            count = ""
            if len(members) > 1:
                several = "seeds" if members[0].split("@")[1].isdecimal() else "modes"
                count = f"{len(ran)}{f' of {len(members)}' if len(ran) < len(members) else ''} {several}"
            each = f"{in_words(sum(ran) / len(ran))}{' each' if len(ran) > 1 else ''}"
            start = f"{kind:18} {count:12} {each:>10}   "
            indent = " " * len(start)
            line = textwrap.fill(start + self.pipeline.about[kind], LINE_WIDTH, subsequent_indent=indent).rstrip()
            self.lines.append(line)
            self.screen.say(line)

    def _state(self) -> tuple[str, list[str]]:
        """Return the line of the present state, and a text for each running stage."""
        root = self.pipeline.root.resolve()
        notes = {note.stage: note for note in read_notes(root) if Path(note.folder) == root}
        texts: list[str] = []
        lights = [name for name in self.running if self.kinds[name] == LIGHT]  # one job, one stage after another
        since = time.monotonic() - self.running[lights[0]] if lights else 0.0
        light = max(0.0, LIGHT_SECONDS - since / max(1, len(lights)))
        left: dict[str, float | None] = dict.fromkeys(lights, light)
        for name, began in self.running.items():
            if name in left:
                continue
            elapsed, note = time.monotonic() - began, notes.get(name)
            if note is not None and note.step >= SOON * note.steps:
                self.forecast.learn(self.kinds[name], elapsed + note.seconds_left, running=True)
            expected = self.forecast.seconds(self.kinds[name])
            if expected is not None and elapsed > expected:
                expected = elapsed * (1 + OVERDUE)
                self.forecast.learn(self.kinds[name], expected, running=True)
            left[name] = None if expected is None else expected - elapsed
            if note is not None:
                left[name] = note.seconds_left
            texts.append(f"{title(name)}{f' - {note.percent} %' if note else ''}")
        if lights and not texts:
            texts = ["notes of the arms that are not trained"]
        done = self._counted([*self._done(), *self.failed])
        seconds = self.forecast.left(left, self._waiting(), self.pipeline.needs, self.kinds, self.jobs)
        known = f"about {in_words(seconds)} left in total" if seconds is not None else "time left: known soon"
        return f"[{done}/{self.total}] {', '.join(texts)}{' - ' if texts else ''}{known}", texts

    def _done(self) -> set[str]:
        return self.unchanged | self.seconds.keys()

    def _waiting(self) -> list[str]:
        """Return the stages that are left, each after those it needs."""
        return [name for name in self.pipeline.names if name not in self._done() and name not in self.running]

    def _counted(self, names: Collection[str]) -> int:
        return sum(self.kinds[name] != LIGHT for name in names)


def title(name: str) -> str:
    """Return the name of a stage in words: ``pretrain@1`` is pretrain seed 1."""
    kind, _, suffix = name.partition("@")
    return f"{kind} seed {suffix}" if suffix.isdecimal() else f"{kind} {suffix}".strip()
