"""A small pipeline of shell commands under DVC."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.conftest import ROOT, make_environment

STAMP = "import sys, time; open('times', 'a').write(f'{sys.argv[1]} {time.time_ns()}\\n')"
RUN = """
import sys
from fkt.core.errors import reported
from fkt.jobs.alone import repro_alone
from fkt.jobs.forecast import Forecast
from fkt.jobs.processes import Pipeline
from fkt.jobs.schedule import repro_together
from fkt.jobs.watch import Watch
with reported():
    number, targets = int(sys.argv[1]), sys.argv[2:]
    watch = Watch(Pipeline(targets), lambda name: name.startswith("light"), Forecast({}, {}, 1), number or 1)
    if number:
        repro_together(watch, [{}] * number)
    else:
        repro_alone(watch, targets)
    print(watch.summary())
"""
"""With 0 jobs, a plain ``dvc repro``."""


class Toy:
    """A DVC repository whose stages note when they begin and end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**make_environment(), "PYTHONPATH": str(ROOT)}
        (root / "stamp.py").write_text(STAMP)
        self.command("git", "init", "--quiet")
        self.command(sys.executable, "-m", "dvc", "init", "--quiet")
        self.stages: dict[str, dict[str, object]] = {}

    def stage(self, name: str, *needs: str, work: str = "true") -> None:
        """Add a stage that concatenates what it needs, under its name."""
        out = f"{name}.txt"
        inputs = " ".join(f"{need}.txt" for need in needs)
        command = (
            f"python stamp.py {name}+ && {work} && echo {name} | cat - {inputs} > {out} && python stamp.py {name}-"
        )
        self.stages[name] = {"cmd": command, "deps": ["source", *(f"{need}.txt" for need in needs)], "outs": [out]}
        (self.root / "source").write_text("1")
        (self.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": self.stages}))

    def command(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=self.root, env=self.environment, capture_output=True, text=True)

    def start(self, number: int, *targets: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", RUN, str(number), *targets]
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def repro(self, number: int, *targets: str) -> subprocess.CompletedProcess[str]:
        return self.command(sys.executable, "-c", RUN, str(number), *targets)

    def events(self) -> list[str]:
        """What has begun (``a+``) and ended (``a-``) since the last call, in the order of time."""
        path = self.root / "times"
        lines = path.read_text().splitlines() if path.is_file() else []
        path.unlink(missing_ok=True)
        return [line.split()[0] for line in sorted(lines, key=lambda line: int(line.split()[1]))]
