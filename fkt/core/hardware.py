"""Where and how a stage computes: chosen at run time, recorded beside the run, never a parameter of the science.

``FKT_DEVICE`` (cpu, cuda, cuda:1, mps), ``FKT_PRECISION`` (bf16, fp32), ``FKT_THREADS`` and ``FKT_WORKERS`` override
what is found.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import torch

from fkt.core.errors import UserError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def pick_device() -> torch.device:
    """Return the first CUDA device, or the CPU; FKT_DEVICE overrides. Raises UserError for a device that is absent."""
    name = os.environ.get("FKT_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"FKT_DEVICE: '{name}' cannot be used here ({reason}); try cpu or cuda") from error
    return torch.device(name)


def setup_torch() -> None:
    """Use as many threads as FKT_THREADS says, or as torch chooses, and make convolutions on CUDA repeatable.

    float32 is float32 there too, not TF32. Raises UserError where FKT_THREADS is no number.
    """
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    text = os.environ.get("FKT_THREADS")
    if text is None:
        return
    if not text.isdecimal() or int(text) < 1:
        raise UserError(f"FKT_THREADS: '{text}' is not a number of threads; give a whole number from 1")
    torch.set_num_threads(int(text))


def pick_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 for autocast where the processor multiplies it natively, otherwise float32."""
    name = os.environ.get("FKT_PRECISION")
    if name is not None:
        if name not in PRECISIONS:
            raise UserError(f"FKT_PRECISION: '{name}' is unknown; choose from: {', '.join(PRECISIONS)}")
        return PRECISIONS[name]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bf16() else torch.float32


def _cpu_has_bf16() -> bool:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return False
    text = info.read_text(encoding="utf-8", errors="replace")
    return "avx512_bf16" in text or "amx_bf16" in text


def device_name(device: torch.device) -> str:
    """Return the processor's name, for the record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if device.type == "cpu" and info.is_file():
        names = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        if names:
            return names[0].split(":", 1)[1].strip()
    return device.type


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory this process has held, in MB: of the device on CUDA, of the process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, kilobytes elsewhere
