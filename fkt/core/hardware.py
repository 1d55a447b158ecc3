"""Where and how a stage computes: chosen at run time, recorded with the run, never a parameter of the experiment.

``FKT_DEVICE`` (cpu, cuda, cuda:1, mps), ``FKT_PRECISION`` (bf16, fp32), ``FKT_THREADS`` and ``FKT_WORKERS`` override
the defaults. ``FKT_CORES`` limits them; ``fkt repro`` sets it for stages that run side by side. ``FKT_PROCESSES`` and
``FKT_NODES`` are how many processes on how many hosts share one training. torch is imported only by the functions that
need it.
"""

from __future__ import annotations

import os
import resource
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fkt.core.errors import UserError

if TYPE_CHECKING:
    import torch

SMALL_BATCH = 2e10
"""FLOPs of a forward pass of one batch, below which one thread computes it.

Each layer of such a batch takes a few milliseconds. With a second thread, ResNet-10 of width 16 was 1.1 to 1.6 times as
fast with little else running, but several times slower if another process uses a core: each layer waits for the slower
thread. The threshold is a choice between such networks and those that train for hours: ResNet-10 of width 16 at
32 px is below it with batches of 512 images, ResNet-18 of width 64 at 32 px above it with 32 images.
"""


def usable_cores() -> int:
    """Return the number of processors that this process may run on: at most FKT_CORES, and those that it is bound to.

    Raises UserError if FKT_CORES is not a whole number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _whole_number("FKT_CORES", least=1) or cores)


def requested_workers() -> int | None:
    """Return FKT_WORKERS, None where it is not set. Raises UserError where it is not a whole number."""
    return _whole_number("FKT_WORKERS", least=0)


def requested_processes() -> int:
    """Return FKT_PROCESSES, the processes of a training on this host: by default 1; ``auto``: one for each GPU.

    Raises UserError where it is neither a whole number nor auto.
    """
    if os.environ.get("FKT_PROCESSES") == "auto":
        import torch

        return max(1, torch.cuda.device_count())
    return _whole_number("FKT_PROCESSES", least=1) or 1


def requested_nodes() -> int:
    """Return FKT_NODES, the hosts of a training, by default 1. Raises UserError where it is not a whole number."""
    return _whole_number("FKT_NODES", least=1) or 1


def setup_torch() -> None:
    """Make convolutions on CUDA deterministic, and use one thread until ``set_threads`` knows the network.

    float32 stays float32 on CUDA: no TF32.
    """
    import torch

    _threads_of_torch()  # before it is changed
    torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False


def set_threads(batch_flops: float) -> None:
    """Use FKT_THREADS threads; by default one for small batches, otherwise as many as torch chooses.

    batch_flops: FLOPs of the forward pass of one batch. The number of threads changes the last digits of a result. By
    this rule, those of small networks do not depend on the machine's number of cores. Raises UserError if FKT_THREADS
    or FKT_CORES is not a whole number.
    """
    import torch

    asked = _whole_number("FKT_THREADS", least=1)
    large = min(_threads_of_torch(), usable_cores())
    torch.set_num_threads(asked or (1 if batch_flops < SMALL_BATCH else large))


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or FKT_DEVICE, or the first CUDA device, or the CPU.

    Raises UserError for a device that is absent.
    """
    import torch

    source = "device" if name else "FKT_DEVICE"
    name = name or os.environ.get("FKT_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        if name.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"{source}: '{name}': no GPU found; use cpu") from error
        reason = str(error).splitlines()[0]
        raise UserError(f"{source}: '{name}' is not available ({reason}); use cpu or cuda") from error
    return torch.device(name)


def pick_precision(device: torch.device) -> torch.dtype:
    """Return FKT_PRECISION, by default bfloat16 where the processor multiplies it natively, otherwise float32."""
    import torch

    precisions = {"fp32": torch.float32, "bf16": torch.bfloat16}
    name = os.environ.get("FKT_PRECISION")
    if name is not None:
        if name not in precisions:
            raise UserError(f"FKT_PRECISION: unknown value '{name}'; choose from: {', '.join(precisions)}")
        return precisions[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    has_bf16 = device.type == "cpu" and any(flag in _cpuinfo() for flag in ("avx512_bf16", "amx_bf16"))
    return torch.bfloat16 if has_bf16 else torch.float32


def device_name(device: torch.device) -> str:
    """Return the name of the processor."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return (processor() if device.type == "cpu" else "") or device.type


def processor() -> str:
    """Return the name of the CPU; empty if it is not known."""
    names = [line for line in _cpuinfo().splitlines() if line.startswith("model name")]
    return names[0].split(":", 1)[1].strip() if names else ""


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MB: of the device on CUDA, of this process elsewhere."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, kilobytes elsewhere


@cache
def _threads_of_torch() -> int:
    """Return the number of threads that torch chooses, or OMP_NUM_THREADS."""
    import torch

    return torch.get_num_threads()


def _whole_number(name: str, *, least: int) -> int | None:
    text = os.environ.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < least:
        raise UserError(f"{name}: '{text}' is not a whole number from {least}")
    return int(text)


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
