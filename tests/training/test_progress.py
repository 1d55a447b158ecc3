"""What a training says while it runs."""

import re
from pathlib import Path

import pytest

from fkt.core.progress import read_notes
from fkt.training import progress as module
from fkt.training.progress import Progress


def test_lines_and_notes_say_how_far_a_training_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "joint@3")
    for name in ("LINE_SECONDS", "NOTE_SECONDS"):
        monkeypatch.setattr(module, name, 0.0)
    progress = Progress("joint, seed 3", 40, 20, 64)
    progress.update(30, None)
    (note,) = read_notes(tmp_path)
    assert (note.stage, note.percent, note.folder) == ("joint@3", 75, str(tmp_path))
    progress.update(31, {"loss": 1.5, "val_accuracy": 0.25})
    progress.update(40, None)
    progress.close()
    first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"joint, seed 3: 75 %, step 30 of 40, \d+ images/s, about 1 s left", first), "resumed at 20"
    assert "77 %, step 31 of 40, loss 1.500, val accuracy 25.0 %, " in second
    assert last.startswith("joint, seed 3: 100 %, step 40 of 40, loss 1.500") and "left" not in last
    assert read_notes(tmp_path) == []
