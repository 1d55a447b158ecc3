"""Files that are missing or do not match are named with the stage that makes them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from fkt.core.arms import PRETRAINED, STUDENT
from fkt.core.errors import UserError
from fkt.core.runs import Run, maps_path, transfer_path
from fkt.params import Params, Transfer
from fkt.report.arms import MissingResult, read_arms, read_results
from tests.report.fabricated import fabricate, fabricated_params

STAGES = yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())["stages"]


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (Run("digits", "functional", 1).predictions, "evaluate@functional"),
        (Run("digits", "distilled", 2).log / "curve.csv", "finetune-distilled@2"),
        (Run("digits", STUDENT, 0).log / "clusters.json", "distill@0"),
        (Run("digits", PRETRAINED, 2).log / "cost.json", "pretrain@2"),
        (maps_path("functional"), "cam@functional"),
        (transfer_path("usps", 0), "evaluate-transfer@usps"),
        (Path("data/digits/meta.json"), "prepare"),
    ],
)
def test_a_missing_file_is_named_with_the_stage_that_makes_it(
    path: Path, stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = fabricated_params(modes=["pretrained", "supervised", "distilled", "functional"])
    fabricate(params, num_test=20)
    if path.is_file():
        read_results(params)
        path.unlink()
    else:
        params = params.model_copy(update={"transfer": Transfer(datasets=["usps"])})
    with pytest.raises(UserError) as caught:
        read_results(params)
    assert str(path) in str(caught.value) and f"'dvc repro {stage}'" in str(caught.value)
    assert stage.split("@")[0] in STAGES


def test_arms_with_different_test_images_are_refused(params: Params) -> None:
    path = Run("digits", "functional", 0).predictions
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"ids": arrays["ids"] - 1}))
    with pytest.raises(MissingResult, match=r"different test images; run 'dvc repro evaluate@functional'"):
        read_arms("digits", ["functional"], [0, 1])
    with pytest.raises(MissingResult, match="functional and supervised have scores for different test images"):
        read_arms("digits", ["supervised", "functional"], [0])
