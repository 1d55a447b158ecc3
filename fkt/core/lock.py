"""The lock of a stage: one process at a time writes its outputs."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCKS = Path(".ckpt") / "locks"
"""One file for each stage. It is locked while a process runs the stage, and has the id of that process."""


@contextmanager
def stage_lock() -> Iterator[None]:
    """Hold the lock of the stage that DVC runs here: of two processes, the later one waits, and says for which.

    DVC's own locks end with DVC, which its stages may outlive. This one ends with the process that holds it. If the
    file cannot be locked, as on a full disk, the stage runs without a lock. Of several processes of a training, the
    first holds it.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage is None or os.environ.get("RANK", "0") != "0":
        yield
        return
    try:
        LOCKS.mkdir(parents=True, exist_ok=True)
        file = (LOCKS / re.sub(r"[^\w@.-]", "_", stage)).open("a+", encoding="utf-8")
    except OSError:
        yield
        return
    with file:
        with suppress(OSError):
            try:  # lockf, not flock: worker processes do not inherit it
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip()
                print(f"{stage}: waiting for process {holder}, which still runs this stage here", flush=True)
                fcntl.lockf(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        yield
