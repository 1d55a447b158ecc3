"""Check params.yaml, run what has changed, several stages at once, and show the verdict.

With one job this is a plain 'dvc repro'. The results of small networks are the same with any number of jobs.
"""

import argparse
import subprocess
from collections.abc import Callable

from fkt.check import load_checked
from fkt.cli.check import add_jobs, checked
from fkt.core.arms import NETWORKS
from fkt.core.progress import in_words
from fkt.core.runs import METRICS
from fkt.estimate.estimate import cached
from fkt.jobs.alone import repro_alone
from fkt.jobs.forecast import Forecast, image_passes
from fkt.jobs.processes import LOGS, Pipeline
from fkt.jobs.schedule import repro_together
from fkt.jobs.share import job_environments
from fkt.jobs.watch import Watch
from fkt.params import Params
from fkt.raw.listing import changes
from fkt.report.terminal import PAGE, shown

HELP = "run what params.yaml describes, several stages at once"
REPORT = METRICS / "report.md"
COMMIT = (
    ", and commit the results, so that 'dvc metrics diff' compares with them: git add -A && git commit -m 'First run'"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="stages, such as joint@0; by default all")
    add_jobs(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the stages, and print the scores and the verdict of the report."""
    params = load_checked()
    changed = changes(params)
    print("\n".join([checked(params), *changed]), flush=True)
    environments = job_environments(arguments.jobs)
    number = len(environments)
    estimate = cached(params, number)
    expected = f" All of them take about {in_words(estimate.seconds())} (fkt check)." if estimate else ""
    pipeline = Pipeline(arguments.targets, raw_changed=bool(changed))
    watch = Watch(pipeline, light_stages(params), forecast_of(params, number), number)
    at_once = f"{number} at once" if number > 1 else "one after another"
    print(f"{watch.total} stages, {at_once}.{expected} What they print is in {LOGS}/.\n", flush=True)
    if number == 1:
        repro_alone(watch, arguments.targets)
    else:
        repro_together(watch, environments)
    if REPORT.is_file():
        print(f"\n{shown(REPORT.read_text(encoding='utf-8'))}")
    print(f"\n{watch.summary()}")
    if REPORT.is_file():
        print(f"next: open {PAGE} in a browser{COMMIT if is_new() else ''}")


def is_new() -> bool:
    """Return whether there are results that git does not have."""
    command = ["git", "diff", "--quiet", "HEAD", "--", "dvc.lock", str(METRICS)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 1  # noqa: S603 - our own arguments


def forecast_of(params: Params, jobs: int) -> Forecast:
    """Return what is known before anything has run."""
    estimate = cached(params, jobs)
    return Forecast(estimate.stages() if estimate else {}, image_passes(params), len(params.seeds))


def light_stages(params: Params) -> Callable[[str], bool]:
    """Return whether a stage takes no time, as a function of its name.

    It lists the raw files, or leaves a note because no mode needs its network.
    """
    light = {"raw", "raw-transfer"}
    light |= {network.stage for name, network in NETWORKS.items() if name not in params.trained}
    return lambda stage: stage.split("@")[0] in light
