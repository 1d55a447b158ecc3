"""What a training stage depends on, as dvc.yaml lists it."""

import shutil
from pathlib import Path

import pytest
import yaml

from fkt.core import pipeline
from tests.conftest import ROOT


def test_parameters_are_resolved_as_dvc_resolves_them() -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["ssl"]["method"] = "byol"
    found = pipeline.stage_params("joint", content)
    assert found["lambda"] == content["lambda"] and found["joint"] == content["joint"]
    assert found["ssl.byol"] == content["ssl"]["byol"] and "ssl.simclr" not in found
    assert "pretrain" not in found and "seeds" not in found


def test_the_digest_holds_the_code_that_the_stage_depends_on_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("fkt", "stages"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.setattr(pipeline, "ROOT", tmp_path)
    for name, changed in (("fkt/ssl/losses/contrastive.py", {"joint"}), ("fkt/report/maps_figure.py", set())):
        before = {stage: pipeline.code_digest(stage) for stage in ("joint", "supervised")}
        with (tmp_path / name).open("a") as file:
            file.write("# an edit\n")
        assert {stage for stage, digest in before.items() if pipeline.code_digest(stage) != digest} == changed
