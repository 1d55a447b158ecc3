"""A training in several processes, on one host or more, under torch's elastic launcher. Imports torch late."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fkt.core.errors import UserError, plural
from fkt.core.hardware import requested_nodes, usable_cores
from fkt.core.runs import Run
from fkt.core.stopping import Stopped, stop_signals

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

JOIN_SECONDS = 600
"""How long a host waits for the others at the start."""
KILLED, MISTAKE, FAILED, STOPPED = "killed", "mistake", "failed", "stopped"
TERMINATED, LOST = "terminated", "lost"
ORDER = (KILLED, MISTAKE, FAILED, STOPPED, TERMINATED, LOST)
"""Why a process ended, causes before consequences: by a signal, by a UserError, by another error, because it was asked
to, by the launcher, or without the others."""


def launch(module: str, run: Run, processes: int) -> None:
    """Run ``python -m MODULE NETWORK SEED`` in so many processes here, and as many on each other host, to the end.

    Raises UserError with the cause if one fails: then all of them end. Raises Stopped after a signal.
    """
    logging.disable(logging.ERROR)  # torch's messages repeat ours at length
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    nodes = requested_nodes()
    _check_devices(processes)
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    cores = str(max(1, usable_cores() // processes))
    os.environ |= {"FKT_CORES": cores, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", cores)}
    endpoint, address, is_host = _meeting_point(nodes)
    hosts = f" on each of {nodes} hosts, which meet at {endpoint}" if nodes > 1 else ""
    print(f"{run.label}: {plural(processes, 'process', 'processes')}{hosts}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            nodes,
            nodes,
            processes,
            DefaultLogsSpecs(log_dir=folder),
            run_id=f"{run.name}-{run.seed}",
            rdzv_endpoint=endpoint,
            rdzv_backend="c10d",
            rdzv_configs={"is_host": is_host, "join_timeout": JOIN_SECONDS, "read_timeout": JOIN_SECONDS},
            max_restarts=0,
            local_addr=address,
            signals_to_handle=",".join(one.name for one in stop_signals()),
        )
        try:
            elastic_launch(config, sys.executable)("-u", "-m", module, run.name, str(run.seed))
        except ChildFailedError as error:
            _raise_cause(error.failures)
        except SignalException as error:
            contents = [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).rglob("error.json")]
            said = [content["message"] for content in contents if content["kind"] == STOPPED]
            raise Stopped(int(error.sigval), *said[:1]) from error
        except RendezvousError as error:
            raise UserError(
                f"FKT_RENDEZVOUS: {endpoint}: the {nodes} hosts did not meet within {JOIN_SECONDS} s; run the same "
                "command on each, with FKT_RENDEZVOUS naming an address of one of them and a free port"
            ) from error


def _check_devices(processes: int) -> None:
    import torch

    device = os.environ.get("FKT_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if device not in ("cpu", "cuda"):
        raise UserError(f"FKT_DEVICE: '{device}' is for one process; with FKT_PROCESSES choose cpu or cuda")
    if device == "cuda" and processes > torch.cuda.device_count():
        found = plural(torch.cuda.device_count(), "GPU")
        raise UserError(f"FKT_PROCESSES: {processes} processes need as many GPUs, but there are {found}")


def _meeting_point(nodes: int) -> tuple[str, str, bool]:
    """Return where the hosts meet, the address of this one there, and whether it is the one where they meet.

    gloo gets the interface of this address. By default both torch and gloo look up the host's own name, which often
    stands for 127.0.0.1 or another network.
    """
    import psutil

    if nodes == 1:
        return "127.0.0.1:0", "127.0.0.1", True
    endpoint = os.environ.get("FKT_RENDEZVOUS", "")
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"FKT_RENDEZVOUS: '{endpoint}' is no host:port, which FKT_NODES={nodes} needs")
    try:
        family, kind, _, _, there = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(there)  # sends nothing
            address = probe.getsockname()[0]
    except (OSError, OverflowError) as error:
        raise UserError(f"FKT_RENDEZVOUS: '{endpoint}' cannot be reached: {error}") from error
    for interface, found in psutil.net_if_addrs().items():
        if any(one.address == address for one in found):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    return endpoint, address, address == there[0]


@contextmanager
def reported_to_launcher() -> Iterator[None]:
    """In a process of the launcher: pass on why it ends; the launcher's process says it once."""
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        text = str(error)
        if isinstance(error, KeyboardInterrupt):
            kind = STOPPED
        elif isinstance(error, UserError):
            kind = MISTAKE
        else:
            kind = LOST if any(name in text for name in ("gloo", "NCCL", "TCPStore")) else FAILED
            text = traceback.format_exc()
        number = getattr(error, "number", int(signal.SIGINT))
        content = {"message": text, "kind": kind, "number": number, "timestamp": time.time()}
        Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps(content), encoding="utf-8")
        sys.stdout.flush()
        os._exit(1)  # at once: other processes may wait for this one


def _raise_cause(failures: Mapping[int, ProcessFailure]) -> None:
    """Raise the error of the process that failed first; others fail because of it."""
    kinds = {rank: failure.error_file_data.get("kind") or _ending(failure) for rank, failure in failures.items()}
    rank = min(failures, key=lambda rank: (ORDER.index(kinds[rank]), failures[rank].timestamp))
    kind, text = kinds[rank], str(failures[rank].error_file_data["message"])
    if kind == STOPPED:
        raise Stopped(failures[rank].error_file_data["number"], text)
    if kind == MISTAKE:
        raise UserError(text)
    how = f"was ended by {failures[rank].signal_name()}"
    if kind == FAILED:
        print(text, file=sys.stderr)
        how = "failed, see above"
    elif kind == LOST:
        how = "lost the connection to another host; see the messages there"
    raise UserError(f"process {rank} {how}; all have stopped; run the same command again to resume")


def _ending(failure: ProcessFailure) -> str:
    """Return why a process ended that has not said it: the launcher sends SIGTERM to those that are left."""
    return TERMINATED if failure.signal_name() == "SIGTERM" else KILLED
