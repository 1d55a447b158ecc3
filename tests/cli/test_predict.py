"""``fkt predict`` and ``fkt.load``: which model, which files, and what is written of them."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fkt
from fkt.cli.main import main
from fkt.core.errors import CheckpointError, CorruptData
from fkt.data.keys import seeded
from fkt.evaluation.cam import cam
from fkt.evaluation.files import image_files
from fkt.evaluation.overlays import SIDE, compute_heat
from fkt.models.backbones import build_backbone
from fkt.models.checkpoint import Card, save_model
from fkt.models.classifier import Classifier
from fkt.params import Model
from tests import fakes
from tests.models.test_checkpoint import MODEL, backbone, card

HOSTILE = ["=cmd|' /C calc'!A0", 'two\r\nlines\x1b[31m"', "gr\u00fcn, $x$"]


def stored(folder: Path, its: Card | None = None) -> Classifier:
    its = its or card()
    with seeded("classify", its.seed):
        model = Classifier(build_backbone(Model.model_validate(MODEL), its.channels), len(its.classes))
        torch.nn.init.normal_(model.head.weight)
    save_model(folder, model, its)
    return model.eval()


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Work in a folder with four photographs, an arm of two seeds, and no results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FKT_DEVICE", "cpu")
    fakes.write_classes(Path("photos"), ("a", "b"), 2)
    for seed in (10, 9):
        stored(Path(f"models/functional/s{seed}"), card(mode="functional", seed=seed))
    return [Path(f"photos/{name}/00{number}.png") for name in "ab" for number in (0, 1)]


def test_files_are_named_by_folder_pattern_and_table(photos: list[Path]) -> None:
    Path("photos/notes.txt").write_text("no image")
    Path("photos/a/.hidden.png").write_text("no image")
    Path("photos/list.csv").write_text("\ufeffid,path\n1,b/001.png\n2,a/000.png\n3,absent.png\n", encoding="utf-8")
    Image.new("L", (4, 4)).save("photos/odd[1].png")
    loose = Path("photos/odd[1].png")
    assert image_files(["photos"]) == [*photos, loose]
    assert image_files(["photos/*/*0.png", loose]) == [photos[0], photos[2], loose]
    assert image_files(["photos/*", photos[0]]) == [*photos, loose, photos[0]]
    assert image_files(["photos/list.csv"]) == [photos[3], photos[0], Path("photos/absent.png")]
    Path("empty").mkdir()
    for nothing in ("empty", "photos/*.jpg"):
        with pytest.raises(CorruptData, match=f"^{re.escape(nothing)}: no images found; give images"):
            image_files([nothing])
    Path("list.csv").write_text("file,label\nx,y\n")
    with pytest.raises(CorruptData, match="list.csv: the first line must contain path, but it is 'file,label'"):
        image_files(["list.csv"])


def test_a_model_in_five_lines(photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    model = fkt.load("models/functional/s9")
    found = model.predict("photos")
    assert found.paths == photos and found.classes == ["zero", "one", "two"]
    assert model.predict(photos, batch_size=3).probabilities == pytest.approx(found.probabilities, abs=1e-6)
    main(["predict", "models/functional/s9", "photos"])
    lines = capsys.readouterr().out.splitlines()
    assert repr(found).splitlines() == lines
    for path, row, line in zip(photos, found.probabilities, lines, strict=True):
        best, second, _ = sorted(range(3), key=lambda k: -row[k])
        first, then = (f"{found.classes[k]} ({100 * row[k]:.1f} %)" for k in (best, second))
        assert line == f"{path}: {first}, then {then}"
    assert repr(model) == "models/functional/s9: functional, seed 9, digits, 3 classes, 16 x 16 pixels, gray"
    many = repr(model.predict([*photos] * 6)).splitlines()
    assert len(many) == 21 and many[-1] == "... and 4 more"


def test_without_a_model_the_chosen_arm_predicts_with_all_seeds(
    photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="no model was named, .* no result yet .metrics/model.json is missing"):
        main(["predict", "photos"])
    Path("metrics").mkdir()
    Path("metrics/model.json").write_text(json.dumps({"arm": "functional", "why": "by the verdict"}))
    main(["predict", "photos", "--format", "json"])
    said = capsys.readouterr()
    assert "model: models/functional: functional, 2 seeds (9, 10), " in said.err and "chosen by the verdict" in said.err
    each = [fkt.load(f"models/functional/s{seed}").predict("photos").probabilities for seed in (9, 10)]
    rows = json.loads(said.out)
    assert [row["path"] for row in rows] == [str(path) for path in photos]
    assert [list(row["probabilities"].values()) for row in rows] == np.mean(each, axis=0).tolist()
    for typed, message in {
        "models/func photos": "models/func does not exist; give the folder of a model, or images",
        "models/functional": "models/functional is a model; give what it should classify",
        "models/functional photos --device abc": "device: 'abc' is not available",
    }.items():
        with pytest.raises(SystemExit, match=message):
            main(["predict", *typed.split()])


def test_broken_files_are_named_and_skipped_and_the_status_says_so(
    photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = fakes.write_broken_files(Path("photos/a"))
    arguments = ["predict", "models/functional", "photos", "absent\x1b.png", "--output", "out.csv"]
    with pytest.raises(SystemExit, match=r"error: 4 of 8 files could not be read; see above"):
        main(arguments)
    said = capsys.readouterr()
    assert said.out == "4 predictions: out.csv\n"
    skipped = [line for line in said.err.splitlines() if line.startswith("skipped: ")]
    assert len(broken) == 3 and skipped[-1] == "skipped: absent\\x1b.png: the file is missing"
    assert [line.split(": ")[1] for line in skipped[:3]] == [f"photos/a/{name}" for name in broken]
    with open("out.csv", newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == [str(path) for path in photos]


def test_csv_and_json_have_all_probabilities_and_no_name_breaks_them(photos: list[Path]) -> None:
    stored(Path("hostile"), card(classes=HOSTILE, dataset="folder"))
    odd = Path("=1+1\n.png")
    Image.new("L", (16, 16), 90).save(odd)
    expected = fkt.load("hostile").predict([odd, photos[0]])
    for name in ("out.csv", "out.json"):
        main(["predict", "--model", "hostile", str(odd), str(photos[0]), "--output", name])
    rows = json.loads(Path("out.json").read_text())
    assert [row["predicted"] for row in rows] == expected.predicted
    assert [list(row["probabilities"]) for row in rows] == [HOSTILE, HOSTILE]
    text = Path("out.csv").read_text(encoding="utf-8")
    header, *cells = csv.reader(text.splitlines())
    assert header[:3] == ["path", "predicted", "probability"] and len(cells) == 2 and "\x1b" not in text
    assert header[3:] == ["p_=cmd|' /C calc'!A0", 'p_two\\r\\nlines\\x1b[31m"', "p_gr\u00fcn, $x$"]
    assert cells[0][0] == "./=1+1\\n.png" and not any(re.match("[=+@-]", cell) for row in cells for cell in row)
    assert np.array([row[3:] for row in cells], np.float32) == pytest.approx(expected.probabilities, abs=1e-7)
    for line in expected.lines():
        assert "\x1b" not in line and "\n" not in line


def test_maps_are_pictures_of_what_the_model_sees_and_where(photos: list[Path]) -> None:
    main(["predict", "models/functional", "photos", "--maps", "maps"])
    names = sorted(path.name for path in Path("maps").iterdir())
    assert names == ["1-000.png", "2-001.png", "3-000.png", "4-001.png"]
    both = fkt.load("models/functional")
    pixels = np.stack([both.pixels(path) for path in photos])
    picture = np.asarray(Image.open("maps/2-001.png"))
    assert picture.shape == (SIDE, 2 * SIDE, 3)
    assert (picture[::16, :SIDE:16] == pixels[1]).all(), "enlarged, not smoothed"
    target = np.array([0, 1, 2, 0])
    each = [compute_heat(fkt.load(f"models/functional/s{seed}"), pixels, target) for seed in (9, 10)]
    assert compute_heat(both, pixels, target) == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).sub(0.3).div(0.4)
    member = both.members[0]
    assert sum(side >= 6 for side in (16, 8, 4, 2)) == 2, "maps are drawn from layer2"
    assert each[0].shape == cam(member, scaled, torch.from_numpy(target), member.backbone.layer4).shape


def test_a_model_without_a_classifier_raises_an_error_that_names_one(tmp_path: Path) -> None:
    save_model(tmp_path / "pretrained/s0", backbone(), card(mode="pretrained"))
    with pytest.raises(CheckpointError, match="pretrained/s0 has no classifier; use .*/supervised/s0"):
        fkt.load(tmp_path / "pretrained")


def test_models_of_different_data_do_not_predict_together(tmp_path: Path) -> None:
    stored(tmp_path / "s0")
    stored(tmp_path / "s1", card(seed=1, mean=[0.31]))
    with pytest.raises(CheckpointError, match="s1 and .*s0 were trained on different data; run 'dvc repro'"):
        fkt.load(tmp_path)
