"""Check params.yaml, and say how long the comparison takes on this machine, from a few timed steps."""

import argparse

from fkt.check import load_checked
from fkt.cli.deep import check_cache
from fkt.core.arms import MIN_STEPS, NETWORKS
from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.core.progress import in_words
from fkt.estimate.estimate import Estimate, cached, measure
from fkt.jobs.share import job_environments, several_processes
from fkt.params import PARAMS_FILE, Params

HELP = "check params.yaml, and say how long the comparison takes here"
LONG_SECONDS = 86400.0
"""From one day on there is a warning."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_estimate(parser)
    parser.add_argument(
        "--deep", action="store_true", help="read every file of DVC's cache too, and name damaged ones; no estimate"
    )


def add_estimate(parser: argparse.ArgumentParser) -> None:
    """Add the options of the estimate."""
    add_jobs(parser)
    parser.add_argument("--no-estimate", action="store_true", help="do not measure how long the comparison takes")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the option --jobs, of the stages that run at once."""
    parser.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help="stages at once; by default one for each GPU, or without a GPU one for each core, at most 4",
    )


def run(arguments: argparse.Namespace) -> None:
    """Check params.yaml; then the cache with --deep, otherwise see check_and_estimate."""
    if arguments.deep:
        print(f"{checked(load_checked())}\n{check_cache()}")
    else:
        check_and_estimate(arguments)


def check_and_estimate(arguments: argparse.Namespace) -> None:
    """Print one line where params.yaml is right, and the estimate; raise ParamsError with a line for each mistake."""
    params = load_checked()
    print(checked(params), flush=True)
    if arguments.no_estimate:
        return
    environments = job_environments(arguments.jobs)
    estimate = cached(params, len(environments))
    if estimate is None or estimate.is_disturbed():
        print("measuring a few steps of each training on this machine ...", flush=True)
        try:
            estimate = measure(params, environments)
        except (DatasetNotFound, CorruptData) as error:
            print(f"how long it takes is not known yet: {error}; then run 'fkt check' again")
            return
    print(f"\n{table(estimate)}")


def checked(params: Params) -> str:
    """Return the line that says that params.yaml is right."""
    seeds = ", ".join(map(str, params.seeds))
    return f"{PARAMS_FILE}: ok (dataset {params.dataset}; modes {', '.join(params.modes)}; seeds {seeds})"


def table(estimate: Estimate) -> str:
    """Return the estimate as a table, its sum, and a warning if it is long."""
    kinds, seeds, counts = estimate.stages(), len(estimate.params.seeds), estimate.counts
    rows = [("Trained", "image passes", "steps", "seeds", "minutes")]
    for name, done in estimate.measured["networks"].items():
        minutes = kinds[NETWORKS[name].stage] * seeds / 60
        rows.append((name, f"{done['images']:,.0f}", f"{done['steps']:,.0f}", str(seeds), _minutes(minutes)))
    others = estimate.others() / 60
    rows.append(("data, scores, maps, report", "", "", "", _minutes(others)))
    lines = [f"{row[0]:26} " + " ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], (13, 9, 6, 9), strict=True))
             for row in rows]  # fmt: skip
    images = f"{sum(counts.train):,} training, {counts.val:,} validation and {counts.test:,} test images"
    at_once = f"with {estimate.jobs} jobs at once" if estimate.jobs > 1 else "with one job"
    total = estimate.seconds()
    gpu = f", on the GPU {_size(estimate.measured['gpu_memory_mb'])}" if estimate.measured["gpu_memory_mb"] else ""
    lines += [
        "",
        f"{images}; image passes and steps are those of one seed.",
        f"In all about {in_words(total)} {at_once}, from nothing; what is unchanged is not run again.",
        f"Memory: at most about {_size(estimate.memory_mb())}{gpu}. Disk: about {_size(estimate.disk_mb())}.",
    ]
    if several_processes():
        lines.append("Measured with one process for each training; FKT_PROCESSES and FKT_NODES are not considered.")
    if estimate.is_disturbed():
        free = in_words(total * estimate.measured["share"])
        lines.append(f"Other programs slow this machine down now; without them it takes about {free}.")
    if short := [name for name, done in estimate.measured["networks"].items() if done["steps"] < MIN_STEPS]:
        lines.append(
            f"warning: fewer than {MIN_STEPS} steps: {', '.join(short)}. Such a training is too short for a verdict: "
            "raise budget.passes, or lower batch_size"
        )
    if total >= LONG_SECONDS:
        lines.append(
            f"warning: this takes {in_words(total)}. For a first result: fewer seeds, a smaller prepare.image_size, "
            "prepare.limit_per_class or budget.passes, or 'fkt preset NAME laptop'; or use a GPU"
        )
    return "\n".join(lines)


def _minutes(minutes: float) -> str:
    return f"{minutes:,.1f}" if minutes < 100 else f"{minutes:,.0f}"


def _size(megabytes: float) -> str:
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def count(text: str) -> int:
    """Return the number of an option that counts from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)
