"""The processes of one training, and what they exchange. For one process everything here is the identity.

In a step each process has a part of every batch of images, and ``ResNet`` returns the features of the whole batch:
heads and losses see all of it in every process, and need no change. The gradient in a process is that of its own
images, times the number of processes. The mean over the processes is then the gradient of the batch, both for weights
before this exchange, which see a part of the images, and for those after it, which see all images in every process.

torch is imported only where processes are connected.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fkt.core.errors import ParamsError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass
class _World:
    rank: int = 0
    size: int = 1
    batch: int = 0
    """Images of the whole batch, during a step of several processes; 0 at other times."""


_world = _World()


def is_worker() -> bool:
    """Return whether this process is one that the launcher has started; see fkt.training.launch."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def connect() -> None:
    """Wait for the other processes of the training. Afterwards the functions here exchange data with them."""
    import torch
    import torch.distributed as dist

    parent = os.getppid()
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    on_gpu = torch.cuda.is_available() and os.environ.get("FKT_DEVICE") != "cpu"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))  # "cuda" now means this one
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo")
    _world.rank, _world.size = dist.get_rank(), dist.get_world_size()
    if not is_first():
        sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of this process


@contextmanager
def connected() -> Iterator[None]:
    """Within the block, exchange data with the other processes, if the launcher has started this one.

    The exchange ends before the process does: a thread of it would abort the process at its end.
    """
    if not is_worker():
        yield
        return
    connect()
    yield
    import torch.distributed as dist

    dist.destroy_process_group()


def _end_after(parent: int) -> None:
    """End this process when the launcher is gone: it would go on, and write into a run that is started again."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def size() -> int:
    """Return the number of processes."""
    return _world.size


def is_first() -> bool:
    """Return whether this is the process that validates, saves, and writes the results."""
    return _world.rank == 0


def rows(batch_size: int) -> slice:
    """Return which rows of a batch, or of a part of one, are this process's. Raises ParamsError if some have more."""
    if batch_size % _world.size:
        raise ParamsError(
            f"batch_size: {_world.size} processes cannot share {batch_size} images (batch_size / accumulate_steps) "
            "equally; change one of them, or FKT_PROCESSES"
        )
    part = batch_size // _world.size
    return slice(_world.rank * part, (_world.rank + 1) * part)


@contextmanager
def split(batch_size: int) -> Iterator[None]:
    """Within the block, images are parts of a batch of this size: ``mine``, ``whole`` and ``of_all`` have an effect."""
    _world.batch = batch_size if _world.size > 1 else 0
    try:
        yield
    finally:
        _world.batch = 0


def is_split() -> bool:
    """Return whether images are parts of a batch; see ``split``."""
    return _world.batch > 0


def of_all(count: int) -> int:
    """Return the number of images in all processes, for a number of images in this one."""
    return count * _world.size if is_split() else count


def mine(tensor: Tensor) -> Tensor:
    """Return the rows of this process: (V * B, ...), V rows of each image, view after view -> (V * b, ...)."""
    if not is_split():
        return tensor
    found: Tensor = tensor.unflatten(0, (-1, _world.batch))[:, rows(_world.batch)].flatten(0, 1)
    return found


def whole(tensor: Tensor) -> Tensor:
    """Return the rows of all processes, with gradient: (V * b, ...), view after view -> (V * B, ...)."""
    if not is_split():
        return tensor
    import torch

    parts = list(gathered(tensor))
    if tensor.requires_grad:
        own = tensor.view_as(tensor)  # because the hook must not stay with the argument
        own.register_hook(lambda gradient: gradient * _world.size)  # see the top of this file
        parts[_world.rank] = own
    part = _world.batch // _world.size
    return torch.cat([one.unflatten(0, (-1, part)) for one in parts], dim=1).flatten(0, 1)


def gathered(tensor: Tensor) -> Tensor:
    """Return the tensors of all processes, of one shape, without gradient: (...) -> (processes, ...)."""
    import torch
    import torch.distributed as dist

    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(_world.size)]
    dist.all_gather(parts, tensor.detach().contiguous())
    return torch.stack(parts)


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over the processes."""
    if _world.size == 1:
        return
    import torch
    import torch.distributed as dist

    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= _world.size
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def largest(number: int) -> int:
    """Return the largest of the numbers of all processes, each below 2 ** 63."""
    if _world.size == 1:
        return number
    import torch
    import torch.distributed as dist

    found = torch.tensor(number)  # on the CPU, so that no process waits for its GPU
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def from_first(content: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return what the first process gives: tensors, numbers and text. Its tensors come to the device."""
    if _world.size == 1:
        return content
    import torch
    import torch.distributed as dist

    file = io.BytesIO()
    if is_first():
        torch.save(content, file)
    sent = torch.frombuffer(bytearray(file.getvalue().ljust(largest(file.tell()))), dtype=torch.uint8)
    dist.broadcast(sent, 0)
    received: dict[str, Any] = torch.load(io.BytesIO(sent.numpy().tobytes()), device, weights_only=True)
    return received
