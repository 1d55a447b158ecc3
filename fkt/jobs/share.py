"""How many stages run at once, and what each of them gets of the machine. Does not import torch."""

import os
import re
import subprocess
from collections.abc import Sequence

from fkt.core.hardware import usable_cores

MOST_JOBS = 4
"""Largest default of --jobs on a CPU: the training of a large network takes gigabytes of memory."""


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that the stages may use, as in CUDA_VISIBLE_DEVICES."""
    if os.environ.get("FKT_DEVICE", "cuda") != "cuda":  # another device, or a certain GPU
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return []
    return [str(number) for number in range(len(re.findall(r"^GPU \d+:", listed.stdout, re.MULTILINE)))]


def default_jobs(gpus: Sequence[str]) -> int:
    """Return one job for each GPU; without a GPU one for each core, at most MOST_JOBS; one on any other device."""
    if gpus:
        return len(gpus)
    return min(usable_cores(), MOST_JOBS) if os.environ.get("FKT_DEVICE", "cpu") == "cpu" else 1


def several_processes() -> bool:
    """Return whether a training takes more than one process."""
    return any(os.environ.get(name, "1") != "1" for name in ("FKT_PROCESSES", "FKT_NODES"))


def job_environments(jobs: int | None = None) -> list[dict[str, str]]:
    """Return what the environment of each job has besides that of this process: its share of cores, and its GPU.

    jobs: their number; None: the default of this machine, or one if a training takes several processes.
    """
    if jobs is None and several_processes():
        jobs = 1
    gpus = [] if jobs == 1 else visible_gpus()
    jobs = jobs or default_jobs(gpus)
    cores = os.environ.get("FKT_CORES", str(max(1, usable_cores() // jobs)))
    share = [{"CUDA_VISIBLE_DEVICES": gpus[job % len(gpus)]} if len(gpus) > 1 else {} for job in range(jobs)]
    return [{"FKT_CORES": cores, **gpu} for gpu in share]
