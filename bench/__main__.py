"""``python -m bench``: all measurements, one after the other."""

from __future__ import annotations

import subprocess
import sys

for name in ("pipeline", "step", "methods", "views"):
    print(f"--- {name}", flush=True)
    if subprocess.run([sys.executable, "-m", f"bench.{name}"]).returncode != 0:
        sys.exit(1)
