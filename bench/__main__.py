"""``python -m bench``: the measurements of speed, one after the other.

What is learned takes hours to measure, and is asked for by itself: ``python -m bench.learning``.
"""

from __future__ import annotations

import subprocess
import sys

for name in ("pipeline", "step", "methods", "views"):
    print(f"--- {name}", flush=True)
    if subprocess.run([sys.executable, "-m", f"bench.{name}"]).returncode != 0:
        sys.exit(1)
