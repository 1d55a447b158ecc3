"""The ``fkt`` command: its help, and the form of its errors."""

import subprocess
import sys
from pathlib import Path

import pytest

from fkt.cli.main import main


def test_help_lists_every_command_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    printed = capsys.readouterr().out
    assert stopped.value.code == 0
    for command in ("repro", "check", "preset", "sweep", "gather", "predict"):
        (line,) = [line.split() for line in printed.splitlines() if line.split()[:1] == [command]]
        assert len(line) > 4, command


def test_a_mistake_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fkt", "check"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: params.yaml does not exist here") and done.stderr.count("\n") == 1


def test_the_command_starts_without_torch_and_pandas() -> None:
    code = "import fkt.cli.main, sys; assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
