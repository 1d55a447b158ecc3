"""The ``fkt`` command: the form of its errors, its start, and ``fkt power``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fkt.cli.main import main
from fkt.report.statistics import Level, Spread, needed_seeds
from fkt.report.terminal import shown
from tests.conftest import ROOT


def test_a_mistake_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "fkt", "check"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: params.yaml does not exist here") and done.stderr.count("\n") == 1


def test_a_reader_that_has_enough_ends_a_command_in_silence() -> None:
    command = [sys.executable, "-m", "fkt", "sweep", "lambda", "--dry-run"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=-1, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_command_starts_without_torch_and_pandas() -> None:
    code = "import fkt.cli.main, sys; assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_power_is_computed_from_given_spreads_or_from_the_last_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    with pytest.raises(SystemExit, match="error: metrics/summary.json has none of functional - supervised, .*; run"):
        main(["power"])
    main(["power", "--spread", "2", "0", "30", "--images", "1000000"])
    given = capsys.readouterr().out
    assert "given: 1,000,000 test images; spread between seeds / between images / rest: 2.0 / 0.0 / 30.0" in given
    section = {"std_seeds": 0.02, "std_images": 0.0, "std_rest": 0.3, "images": 1_000_000}
    Path("metrics").mkdir()
    Path("metrics/summary.json").write_text(json.dumps({"functional_minus_supervised": section}))
    main(["power"])
    found = capsys.readouterr().out
    assert found.splitlines()[1:] == given.splitlines()[1:] and found.startswith("functional - supervised: 1,000,000")
    seeds = needed_seeds(Spread(0.02, 0, 0.3), 1_000_000, 0.02, Level(0.95, contrasts=2))
    assert f"  2 points: {seeds} seeds" in found
    with pytest.raises(SystemExit, match="--images must be at least 1"):
        main(["power", "--spread", "2", "0", "30"])


def test_the_verdict_and_the_scores_are_shown_at_the_end() -> None:
    report = "# t\\_1\n\n**X.**\n\n- a: `b`\n\n`metrics/report.html` is\n\n## Test\n\n| A | B |\n| 1 | 2 |\n\n| C |\n"
    assert shown(report) == "t_1\n\nX.\n\n- a: b\n\n| A | B |\n| 1 | 2 |"
