"""A working folder with small params."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fkt.params import Params, load_params
from stages import prepare
from tests.conftest import ROOT
from tests.stages.running import SMALL, Write, merged


@pytest.fixture
def write_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
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


@pytest.fixture
def prepared(write_params: Write) -> Write:
    """The same, followed by the stage prepare."""

    def write(changes: dict[str, Any]) -> Params:
        params = write_params(changes)
        prepare.main(params)
        return params

    return write
