"""A working folder with small params."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fkt.params import Params, load_params
from tests.conftest import ROOT
from tests.stages.running import SMALL, merged


@pytest.fixture
def write_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Params]:
    """Work in an empty folder, and write its params.yaml from the shipped one with small numbers and changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FKT_DEVICE", "cpu")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shipped = yaml.safe_load((ROOT / "params.yaml").read_text())

    def write(changes: dict[str, Any]) -> Params:
        content = merged(merged(shipped, SMALL), changes)
        Path("params.yaml").write_text(yaml.safe_dump(content))
        return load_params()

    return write
