"""``fkt predict``: a stored classifier sees a file as it saw the training images."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fkt.cli.main import main
from fkt.core.errors import CheckpointError, CorruptData
from fkt.data.keys import seeded
from fkt.data.normalize import normalize
from fkt.evaluation.classify import classify
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import Card, save_model
from fkt.models.classifier import Classifier
from fkt.params import Model, load_params
from fkt.raw.datasets import read_raw
from fkt.raw.prepare import prepare
from tests import fakes
from tests.conftest import ROOT
from tests.models.test_checkpoint import MODEL, backbone, card


def stored(folder: Path, its: Card | None = None) -> Classifier:
    its = its or card()
    with seeded("classify"):
        model = Classifier(build_backbone(Model.model_validate(MODEL), its.channels), len(its.classes))
    save_model(folder, model, its)
    return model.eval()


def test_the_command_prints_the_two_most_probable_classes_of_each_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = stored(tmp_path / "model")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16), dtype=np.uint8)
    paths = [tmp_path / f"{k}.png" for k in range(2)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    classes, found = classify(tmp_path / "model", paths)
    expected = model(normalize(torch.from_numpy(pixels)[:, None], [0.3], [0.4])).softmax(dim=1)
    assert classes == ["zero", "one", "two"]
    torch.testing.assert_close(found, expected)
    main(["predict", str(tmp_path / "model"), *map(str, paths)])
    for path, row, line in zip(paths, expected.tolist(), capsys.readouterr().out.splitlines(), strict=True):
        best, second, _ = sorted(range(3), key=lambda k: -row[k])
        shown = f"{classes[best]} ({100 * row[best]:.1f} %), then {classes[second]} ({100 * row[second]:.1f} %)"
        assert line == f"{path}: {shown}"


@pytest.mark.parametrize(("channels", "fit"), [(1, "crop"), (3, "crop"), (3, "pad"), (1, "stretch")])
@pytest.mark.parametrize(("dataset", "write"), [("folder", fakes.write_folder), ("aptos", fakes.write_aptos)])
def test_a_file_gets_the_probabilities_of_its_prepared_image(
    tmp_path: Path, dataset: str, write: Callable[[Path], None], channels: int, fit: str
) -> None:
    """The photographs are larger than the prepared images, most are not square, and fundi have a black border."""
    write(tmp_path / "raw")
    changes = {"source": str(tmp_path / "raw"), "image_size": 16, "channels": channels, "fit": fit, "masks": "none"}
    meta = prepare(dataset, load_params(ROOT / "params.yaml").prepare.model_copy(update=changes), tmp_path / "data")
    rows = torch.from_numpy(np.load(tmp_path / "data" / "images.npy")).permute(0, 3, 1, 2)
    paths = [tmp_path / "raw" / name for name in read_raw(dataset, str(tmp_path / "raw"), False).names]
    assert len(paths) == len(rows), "without duplicates and damaged files, rows are in the order of the source"
    known = {"dataset": dataset, "classes": meta.classes, "channels": channels, "mean": meta.mean, "std": meta.std}
    known |= {"fit": meta.fit}
    model = stored(tmp_path / "model", card(**known))
    expected = model(normalize(rows, meta.mean, meta.std)).softmax(dim=1)
    assert expected.std(dim=0).min() > 1e-4, "the images must get different probabilities"
    torch.testing.assert_close(classify(tmp_path / "model", paths)[1], expected)


def test_many_files_are_classified_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(tmp_path / "model")
    sizes: list[int] = []
    forward = Classifier.forward

    def watched(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", watched)
    fakes.write_classes(tmp_path, ("a",), 3, size=16)
    paths = sorted((tmp_path / "a").iterdir())
    few, many = (classify(tmp_path / "model", paths * times)[1] for times in (1, 25))
    assert sizes == [1, 3, 1, 32, 32, 11], "one image to count FLOPs, then the batches"
    torch.testing.assert_close(many, few.repeat(25, 1))


@pytest.mark.parametrize("name", ["pretrained", "teacher", "student"])
def test_a_model_without_a_classifier_raises_an_error_that_names_one(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / name / "s0", backbone(), card(mode=name))
    with pytest.raises(CheckpointError, match=f"{name}/s0 has no classifier; use .*/supervised/s0"):
        classify(tmp_path / name / "s0", [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.png", "absent.png: the file is missing; give the path of an image file"),
        ("text.png", "text.png: not an image.*; give the path of an image file"),
        ("photos", "photos is a folder; give the image files in it: .*/photos/*"),
    ],
)
def test_a_path_that_is_not_an_image_file_raises_an_error_that_names_it(
    tmp_path: Path, name: str, message: str
) -> None:
    stored(tmp_path / "model")
    (tmp_path / "photos").mkdir()
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(CorruptData, match=message):
        classify(tmp_path / "model", [tmp_path / name])
