"""``fkt repro [TARGET...]``: check params.yaml, run what has changed, several stages at once, and show the verdict.

One job is a plain ``dvc repro``. The results of small networks are the same with any number of jobs.
"""

import argparse
import re
import time
from typing import Any

from fkt.cli import check
from fkt.core.arms import NETWORKS
from fkt.core.runs import METRICS, is_skipped

REPORT = METRICS / "report.md"


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser(
        "repro", help="run what params.yaml describes, several stages at once", description=__doc__
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="stages, as of 'dvc repro'; by default all")
    parser.add_argument(
        "--jobs",
        type=_count,
        metavar="N",
        help="stages at once; by default one for each GPU, without a GPU one for each core, at most 4",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the stages, and print the scores and the verdict of the report."""
    check.run(arguments)
    from fkt import jobs

    gpus = [] if arguments.jobs == 1 else jobs.visible_gpus()
    number = arguments.jobs or jobs.default_jobs(gpus)
    began = time.time()
    if number == 1:
        jobs.repro_alone(arguments.targets)
    else:
        print(f"{number} jobs; what the stages print is in {jobs.LOGS}", flush=True)
        jobs.repro_together(arguments.targets, jobs.job_environments(number, gpus), is_light)
    if REPORT.is_file() and (number > 1 or REPORT.stat().st_mtime < began):  # otherwise the stage has just printed it
        print(f"\n{shown(REPORT.read_text(encoding='utf-8'))}")


def is_light(stage: str) -> bool:
    """Return whether a stage only leaves a note, because the plan skips its network."""
    return any(network.stage == stage.split("@")[0] and is_skipped(name) for name, network in NETWORKS.items())


def shown(text: str) -> str:
    """Return the first table of the report, the scores, and its conclusion, the verdict."""
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    conclusion = re.search(r"(?<=^## Conclusion\n\n).*?(?=\n\n## )", text, re.MULTILINE | re.DOTALL)
    return "\n".join(found[0] for found in (table, conclusion) if found)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)
