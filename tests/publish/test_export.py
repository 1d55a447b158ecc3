"""Exported models give torch's logits for any number of images, and the model card says what is in the results."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import fkt
from fkt.cli.main import main
from fkt.core.errors import UserError
from fkt.data.normalize import normalize
from fkt.evaluation.trained import TrainedModel
from fkt.publish import export as exporting
from fkt.publish.model_card import model_card
from tests.cli.test_predict import HOSTILE, stored
from tests.models.test_checkpoint import card

RESULTS = {
    "arm": "functional",
    "why": "by the verdict",
    "dataset": "digits",
    "images": {"train": 1862, "val": 216, "test": 719},
    "conditions": [["Labels", "2 labels per class."]],
    "verdict": ["Train jointly.", "functional is *better*."],
    "metric": "accuracy",
    "confidence": 0.95,
    "scores": {"functional": {"mean": 0.84927, "low": 0.8, "high": 0.89, "ensemble": 0.90125, "seeds": 2}},
}


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainedModel:
    """A project with the models and the results of an arm of two seeds, whose classes have hostile names."""
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        stored(Path(f"models/functional/s{seed}"), card(mode="functional", seed=seed, classes=HOSTILE))
    Path("metrics").mkdir()
    Path("metrics/model.json").write_text(json.dumps(RESULTS))
    rows = [f'functional,"{HOSTILE[0]}",71,{score},0.5,0.4,1.1' for score in ("precision", "recall", "f1")]
    Path("metrics/per_class.csv").write_text("\n".join(["mode,class,images,score,mean,low,high", *rows, ""]))
    return fkt.load("models/functional", "cpu")


def expected_logits(model: TrainedModel, pixels: np.ndarray) -> np.ndarray:
    images = normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2), model.card.mean, model.card.std)
    with torch.no_grad():
        return np.stack([member(images).numpy() for member in model.members], axis=1)


def test_exported_files_give_the_logits_of_torch(
    arm: TrainedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in exporting.PACKAGES:
        pytest.importorskip(name, reason=f"{name} is of the extra 'export', which is not installed")
    main(["export", "--output", "out", "--license", "mit"])
    said = capsys.readouterr().out
    assert len(re.findall(r"out/model\.\w+: largest difference of a logit from torch's \d\.\de[-+]\d\d", said)) == 2
    pixels = np.random.default_rng(0).integers(0, 256, (13, 16, 16, 1), dtype=np.uint8)
    expected = expected_logits(arm, pixels)
    onnx = exporting.onnx_logits(Path("out/model.onnx"), pixels)
    program = exporting.program_logits(Path("out/model.pt2"), torch.from_numpy(pixels))
    assert onnx.shape == program.shape == (13, 2, 3)
    np.testing.assert_allclose(onnx, expected, atol=1e-4)
    np.testing.assert_allclose(program, expected, atol=1e-4)
    again = fkt.load("out", "cpu")
    assert again.classes == HOSTILE and len(again.members) == 2
    code = Path("out/README.md").read_text().split("```python\n")[2].split("```")[0]
    monkeypatch.chdir("out")
    found: dict[str, np.ndarray] = {}
    exec(code, found)
    zeros = expected_logits(arm, np.zeros((1, 16, 16, 1), np.uint8))
    np.testing.assert_allclose(found["logits"], zeros, atol=1e-4)
    odds = np.exp(zeros - zeros.max(axis=2, keepdims=True))
    np.testing.assert_allclose(found["probabilities"], (odds / odds.sum(axis=2, keepdims=True)).mean(axis=1), atol=1e-5)


def test_a_missing_package_is_named_with_what_to_run(arm: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(UserError, match="fkt export needs onnxruntime; run 'pip install onnx onnxruntime onnxscript'"):
        exporting.export(arm, Path("out"), "mit")
    assert not Path("out").exists()


def test_the_card_has_the_results_with_every_name_escaped(arm: TrainedModel) -> None:
    _, front, body = model_card(arm, {"model.onnx": 1.2e-6}, "cc-by-4.0").split("---\n", 2)
    fields = yaml.safe_load(front)
    assert (fields["license"], fields["library_name"]) == ("cc-by-4.0", "fkt")
    assert fields["pipeline_tag"] == "image-classification" and fields["datasets"] == ["digits"]
    (result,) = fields["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.90125}], "as it is used: both seeds together"
    assert "| functional | 0.8493 | 0.8000 to 0.8900 | 0.9012 | 2 |" in body
    assert "719 test images" in body and "1,862 for training" in body and "- **Labels**: 2 labels per class." in body
    assert "- functional is \\*better\\*." in body and "model.onnx 1.2e-06." in body
    assert r"=cmd\|' /C calc'!A0, two\\r\\nlines\\x1b\[31m" in body and "\x1b" not in body + front
    assert " | 71 |" + 3 * " 0.500 (0.400 to 1.000) |" + "\n" in body and "health or safety" in body


def test_the_card_of_a_fundus_model_says_that_it_is_not_a_medical_device(tmp_path: Path) -> None:
    stored(tmp_path, card(dataset="aptos", fit="pad"))
    text = model_card(fkt.load(tmp_path, "cpu"), {}, "unknown")
    assert "**It is not a medical device.**" in text and "if it has a black border" in text
    assert "pad the image with black to a square" in text and "model-index" not in text
