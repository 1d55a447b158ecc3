"""A folder with params.yaml, tuning.yaml and the pipeline, in which a test tunes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from fkt.sweeps.experiments import present
from fkt.tuning.knobs import Knobs, load_knobs
from tests.conftest import ROOT

Load = Callable[[str], Knobs]
UNTUNED = [
    *("lambda=1.0", "joint.balance=fixed", "supervised.weight_decay=0.01", "budget.pretrain_share=0.667", "tuning=[]"),
    *(f"{section}.learning_rate=0.003" for section in ("supervised", "pretrain", "finetune", "joint")),
]
"""The settings of the shipped params.yaml before its own tuning."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "tuning.yaml"):
        shutil.copy(ROOT / name, name)
    apply_overrides("params.yaml", UNTUNED)
    return tmp_path


@pytest.fixture
def load(folder: Path) -> Load:
    """Write the text of a tuning.yaml, and return its knobs."""

    def read(text: str) -> Knobs:
        Path("tuning.yaml").write_text(text, encoding="utf-8")
        return load_knobs(present())

    return read
