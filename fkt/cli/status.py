"""Show what runs now, how far it is and how long it still takes; or, if nothing runs, what 'fkt repro' would run.

Type it in another terminal while 'fkt repro' or 'dvc repro' runs.
"""

import argparse
import os
import textwrap
from pathlib import Path

from fkt.check import load_checked
from fkt.cli.repro import forecast_of, light_stages
from fkt.core.errors import UserError
from fkt.core.progress import in_words
from fkt.jobs.processes import Pipeline
from fkt.jobs.share import job_environments
from fkt.jobs.status import describe, listed, running_repro, to_run, trainings
from fkt.jobs.watch import LINE_WIDTH
from fkt.raw.listing import changes

HELP = "show what runs, what is done, and how long it still takes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help="the project, by default this folder")


def run(arguments: argparse.Namespace) -> None:
    """Print what runs; otherwise what is up to date, and what would run."""
    if not Path(arguments.folder).is_dir():
        raise UserError(f"{arguments.folder}: there is no such folder; give the root of a project")
    os.chdir(arguments.folder)
    root = Path()
    lines = trainings(root)
    if (state := running_repro(root)) is not None:
        print(describe(state, lines))
        return
    print("\n".join(lines) if lines else "Nothing runs now.")
    params = load_checked()
    changed = changes(params)
    print("".join(f"{text}\n" for text in changed), end="")
    is_light = light_stages(params)
    pipeline = Pipeline([])
    if pipeline.is_busy():
        print("DVC is at work; try again in a few seconds to see what is up to date")
        return
    counted = [name for name in pipeline.names if not is_light(name)]
    left = to_run(pipeline, params, [name for name in pipeline.names if is_light(name)], bool(changed))
    print(_filled("Up to date: ", listed([name for name in counted if name not in left])))
    print(_filled("Left: " if lines else "'fkt repro' would run: ", listed(left)))
    jobs = len(job_environments())
    kinds = {name: name.split("@")[0] for name in counted}
    seconds = forecast_of(params, jobs).left({}, left, pipeline.needs, kinds, jobs)
    if left and seconds is not None:
        print(f"That takes about {in_words(seconds)}.")


def _filled(start: str, text: str) -> str:
    return textwrap.fill(start + text, LINE_WIDTH, subsequent_indent="  ")
