"""What runs, what is up to date and what would run, as another terminal sees it. Does not import torch."""

import json
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fkt.core.arms import NETWORKS
from fkt.core.pipeline import planned
from fkt.core.progress import in_words, is_running, read_notes
from fkt.core.runs import plan_path
from fkt.jobs.processes import Pipeline
from fkt.jobs.watch import STATUS, title
from fkt.params import Params


def running_repro(root: Path) -> dict[str, Any] | None:
    """Return the present state of the 'fkt repro' that runs in a project; None: none runs."""
    with suppress(OSError, ValueError):
        state: dict[str, Any] = json.loads((root / STATUS).read_text(encoding="utf-8"))
        return state if is_running(state["pid"]) else None
    return None


def describe(state: dict[str, Any], running: Sequence[str]) -> str:
    """Return the state of a running 'fkt repro' in words; running: see ``trainings``."""
    ago = f"{in_words(time.time() - state['time'])} ago: " if time.time() - state["time"] > 5 else ""
    lines = ["Done:", *(f"  {line}".replace("\n", "\n  ") for line in state["done"] or ["nothing yet"])]
    lines += ["Training now:", *(f"  {line}" for line in running)] if running else []
    return "\n".join([*lines, "Left:", f"  {', '.join(state['waiting']) or 'nothing'}", f"{ago}{state['line']}"])


def trainings(root: Path) -> list[str]:
    """Return a line for each training that runs now, also in a queued experiment."""
    root = root.resolve()
    return [
        " - ".join(filter(None, (title(note.stage), f"{note.percent} %", note.numbers)))
        + f" - about {in_words(note.seconds_left)} left of this training"
        + ("" if Path(note.folder) == root else f", in {note.folder}")
        for note in read_notes(root)
    ]


def to_run(pipeline: Pipeline, params: Params, light: Collection[str], new_raw: bool) -> list[str]:
    """Return the stages that 'fkt repro' would run: what has changed, and what depends on it.

    light: stages that take no time, which are left out; new_raw: whether raw files have changed. The plan is compared
    as it would be written, so that an edit of params.yaml names no training that it does not change.
    """
    unchanged = pipeline.unchanged(pipeline.names)
    stale = {"prepare", "prepare-transfer"} if new_raw else set[str]()
    texts = planned(params.trained, params.model_dump(by_alias=True, mode="json"))
    for name, network in NETWORKS.items():
        path = plan_path(name)
        if not path.is_file() or path.read_text(encoding="utf-8") != texts[name]:
            stale.add(network.stage)
    found: list[str] = []
    for name in (name for name in pipeline.names if name not in light):
        needs = pipeline.needs[name] - {"plan"}
        if name not in unchanged or name.split("@")[0] in stale or needs.intersection(found):
            found.append(name)
    return found


def listed(names: Sequence[str]) -> str:
    """Return the names of stages in words, those of a kind together: ``joint (8 seeds), evaluate functional``."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.split("@")[0], []).append(name)
    texts = []
    for kind, members in kinds.items():
        suffixes = [name.partition("@")[2] for name in members]
        some = f"{len(members)} seeds" if suffixes[0].isdecimal() else ", ".join(suffixes)
        texts.append(title(members[0]) if len(members) == 1 else f"{kind} ({some})")
    return ", ".join(texts) or "nothing"
