"""``python -m bench``: all measurements of speed, one after the other.

``python -m bench.learning`` measures what each method learns. It is not included, because it trains for a long time.
"""

import argparse
import subprocess
import sys

argparse.ArgumentParser(prog="python -m bench", description=__doc__).parse_args()
for name in ("pipeline", "step", "methods", "views"):
    print(f"--- {name}", flush=True)
    if subprocess.run([sys.executable, "-m", f"bench.{name}"]).returncode != 0:
        sys.exit(1)
