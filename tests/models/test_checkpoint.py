"""Stored models are loaded as they were saved, or an error says why not."""

import hashlib
import json
import os
import platform
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

import fkt
from fkt.core.errors import CheckpointError
from fkt.core.seals import with_digest
from fkt.models import checkpoint
from fkt.models.backbones import ResNet, build_backbone
from fkt.models.checkpoint import Card, code_version, load_backbone, load_model, save_model
from fkt.models.classifier import Classifier
from fkt.params import Model
from tests.conftest import Project

MODEL = {"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"}


def card(**changes: Any) -> Card:
    content: dict[str, Any] = {
        "mode": "supervised",
        "seed": 0,
        "dataset": "digits",
        "classes": ["zero", "one", "two"],
        "image_size": 16,
        "channels": 1,
        "mean": [0.3],
        "std": [0.4],
        "model": MODEL,
    }
    return Card(**{**content, **changes})


def backbone() -> ResNet:
    return build_backbone(Model.model_validate(MODEL), 1)


def edit_card(folder: Path, **changes: Any) -> None:
    """Change fields of a stored card. None removes a field."""
    content = {**json.loads((folder / "card.json").read_text()), **changes}
    kept = {name: value for name, value in content.items() if value is not None and name != "digest"}
    (folder / "card.json").write_text(json.dumps(with_digest(kept)))


def test_a_classifier_is_loaded_with_its_card_and_gives_the_same_logits(tmp_path: Path) -> None:
    model = Classifier(backbone(), 3)
    model(torch.randn(4, 1, 16, 16))  # changes the running statistics, which are stored too
    save_model(tmp_path, model, card(**code_version()))
    loaded, loaded_card = load_model(tmp_path)
    images = torch.randn(2, 1, 16, 16)
    assert not loaded.training
    digest = hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()
    assert loaded_card == card(weights=digest, **code_version())
    torch.testing.assert_close(loaded(images), model.eval()(images), rtol=0, atol=0)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    model = backbone()
    for name in ("a", "b"):
        save_model(tmp_path / name, model, card(mode="pretrained"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert set(files) == {"weights.safetensors", "card.json"}
    assert load_backbone(tmp_path / "a")[0].conv1.weight.equal(model.conv1.weight)


def test_the_code_version_names_the_commit_of_the_repository(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "ROOT", project.root)
    head = project.run("git", "rev-parse", "HEAD").stdout.strip()
    versions = {"fkt": fkt.__version__, "python": platform.python_version(), "torch": torch.__version__}
    assert len(head) == 40
    assert code_version() == {"versions": versions, "revision": head}
    (project.root / "params.yaml").write_text("an edit of DVC")
    assert code_version()["revision"] == head


def test_without_a_repository_or_without_git_the_revision_is_null(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        assert code_version()["revision"] is None
    monkeypatch.setattr(checkpoint, "ROOT", tmp_path)
    assert code_version()["revision"] is None


def test_a_card_of_an_earlier_version_is_loaded(tmp_path: Path) -> None:
    save_model(tmp_path, Classifier(backbone(), 3), card(**code_version()))
    edit_card(tmp_path, versions=None, revision=None, weights=None)
    assert load_model(tmp_path)[1] == card()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": list("abcd")}, r"size mismatch for head.weight.*shape torch.Size\(\[3, 128\]\) from checkpoint"),
        ({"mode": "pretrained"}, r'for ResNet: Missing key\(s\) in state_dict: "conv1.weight"'),
        ({"model": {**MODEL, "backbone": "resnet18"}}, r"Missing key\(s\) in state_dict: .*layer1.1"),
        ({"seed": None}, "missing 1 required positional argument: 'seed'"),
        ({"surprise": 1}, "unexpected keyword argument 'surprise'"),
        ({"mode": "unheard"}, "'unheard'"),
        ({"model": {}}, "validation errors for Model"),
    ],
)
def test_a_card_that_does_not_fit_raises_an_error_with_the_folder_and_the_remedy(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    save_model(tmp_path / "s0", Classifier(backbone(), 3), card())
    edit_card(tmp_path / "s0", **changes)
    with pytest.raises(CheckpointError, match=f"s0 is damaged or was written by another version: .*{message}") as error:
        load_model(tmp_path / "s0")
    assert "run 'dvc repro' to train the model" in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_who_may_read_the_files_is_what_the_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        save_model(tmp_path, backbone(), card(mode="pretrained"))
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"card.json": mode, "weights.safetensors": mode}


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_a_file_that_is_missing_or_cut_raises_an_error_with_the_remedy(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / "s0", Classifier(backbone(), 3), card())
    with pytest.raises(CheckpointError, match=r"card.json is missing; did you mean .*/s0\?"):
        load_model(tmp_path)
    path = tmp_path / "s0" / name
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="s0 is damaged or was written by another version: .*; run 'dvc repro'"):
        load_model(tmp_path / "s0")
    path.unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing; run 'dvc repro' to train the model"):
        load_model(tmp_path / "s0")


def test_a_card_that_was_changed_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path, Classifier(backbone(), 3), card())
    path = tmp_path / "card.json"
    path.write_text(path.read_text().replace('"two"', '"six"'))
    with pytest.raises(CheckpointError, match="its content does not fit its checksum"):
        load_model(tmp_path)
