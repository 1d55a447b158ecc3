"""``fkt new``: prepare makes of its preset the images that it said, and every training is long enough."""

import csv
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fkt.check import load_checked
from fkt.cli.main import main
from fkt.data.meta import Meta
from fkt.params import Params
from fkt.params.presets import flat
from fkt.params.reader import read_yaml
from fkt.propose import images, plan
from fkt.raw.prepare import prepare
from fkt.report.checks import MIN_STEPS
from fkt.training.budget import labelled_length, ssl_length
from fkt.training.labels import check_against_data
from tests.conftest import ROOT
from tests.fakes import class_image, save, write_classes, write_folder

NO_CHOICE = ("width", "teacher", "teacher_width", "clusters", "tuning")
"""Keys of a preset without a reason of their own."""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "presets", "presets")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    monkeypatch.setenv("FKT_DEVICE", "cpu")


def new(*arguments: str) -> tuple[Params, Meta]:
    """Run the command for the folder ``photos``; return the params that it applied, and what prepare makes of them."""
    main(["new", "photos", "--no-estimate", *arguments])
    params = load_checked()
    meta = prepare(params.dataset, params.prepare, Path("data/folder"))
    check_against_data(params, meta)
    return params, meta


def folder(parts: Mapping[str, int] | int, classes: Sequence[str] = ("bar", "disc", "ring")) -> None:
    write_folder(Path("photos"), classes, parts)


def patients(count: int) -> None:
    for label, name in enumerate(("ill", "well")):
        for number in range(24):
            draw = np.random.default_rng([label, number])
            save(Path("photos", name, f"p{label}{number % count}", f"{number}.png"), class_image(label, draw))


def series() -> None:
    for number in range(24):
        draw = np.random.default_rng(number)
        save(
            Path("photos", str(number % 2), f"IMG_{number:04d}_patient{number // 4}.png"), class_image(number % 2, draw)
        )


def table() -> None:
    write_folder(Path("photos"), ("x",), 40)
    with Path("labels.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["path", "label", "patient"])
        lines.writerows([f"x/{number:03d}.png", f"grade {number % 2}", f"p{number // 4}"] for number in range(40))


def broken() -> None:
    folder(20)
    Path("photos/bar/001.png").write_bytes(b"")
    Path("photos/disc/002.png").write_bytes(b"no image")
    shutil.copy("photos/bar/003.png", "photos/disc/copy.png")
    shutil.copy("photos/ring/004.png", "photos/ring/copy.png")


def unequal() -> None:
    folder(150, ("large",))
    write_classes(Path("photos"), ("tiny",), 4, seed=1)


def wide_and_gray() -> None:
    for label in range(2):
        for number in range(10):
            gray = class_image(label, np.random.default_rng([label, number]), 40, 90).mean(axis=2)
            save(Path("photos", str(label), f"{number}.png"), gray.astype(np.uint8))


CASES: dict[str, tuple[Callable[[], Any], list[str], dict[str, Any], list[str]]] = {
    "20 each": (lambda: folder(20), [], {"report.metric": "accuracy"}, ["24 test images"]),
    "unequal": (
        unequal, [], {"report.metric": "balanced_accuracy", "cross_entropy.class_weights": "balanced"},
        ["tiny (4)", "unequal classes: "],
    ),
    "many of 4": (lambda: folder(4, [f"c{i:03d}" for i in range(60)]), [], {}, ["60 classes with fewer"]),
    "odd names": (
        lambda: folder(8, ("$(touch hacked)", "\u65e5\u672c", 'a: "#b', "{{x}}", "- \U0001f41f")), [], {}, [],
    ),
    "patients": (lambda: patients(3), ["--groups", "parent-folder"], {"prepare.groups": "parent_folder"}, []),
    "suspected": (lambda: patients(3), [], {"prepare.groups": None}, ["--groups parent-folder"]),
    "file names": (series, [], {"prepare.groups": None}, ["'patient0'", r"--groups '(?i)(patient[-_ ]?\d+)'"]),
    "series": (
        series, ["--groups", r"(?i)(patient[-_ ]?\d+)"], {"prepare.groups": r"pattern:(?i)(patient[-_ ]?\d+)"},
        ["in 6 groups that are not divided"],
    ),
    "table": (
        table, ["--csv", "labels.csv", "--groups", "patient"],
        {"prepare.groups": "column:patient", "prepare.table": "labels.csv"}, [],
    ),
    "train and val": (
        lambda: folder({"train": 20, "val": 9}), [], {"prepare.val_as_test": True}, ["27 test"],
    ),
    "broken": (
        broken, [], {"prepare.on_corrupt": "skip", "prepare.on_conflict": "drop"},
        ["2 files cannot be read", "bar/001.png", "bar/003.png = disc/copy.png", "1 copy of other"],
    ),
    "wide and gray": (wide_and_gray, [], {"prepare.fit": "pad", "prepare.channels": 1, "prepare.image_size": 40}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_prepare_makes_what_the_command_said_and_every_training_has_enough_steps(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, arguments, expected, printed = CASES[case]
    make()
    params, meta = new(*arguments)
    output = capsys.readouterr().out
    values = dict(flat(read_yaml(Path("params.yaml"))))
    assert {key: values[key] for key in expected} == expected
    assert all(text in output for text in printed), output
    said = re.search(r"^([\d,]+) training, ([\d,]+) validation and ([\d,]+) test images", output, re.M)
    assert said and [int(text) for text in said.groups()] == [
        sum(meta.counts[part]) for part in ("train", "val", "test")
    ]
    assert all(min(counts) > 0 for counts in meta.counts.values())
    total, budget = sum(meta.counts["train"]), params.budget
    before = budget.passes * budget.pretrain_share
    pretrain = ssl_length(params.pretrain, budget, num_images=total, passes_per_image=2, passes=before)
    joint = ssl_length(params.joint, budget, num_images=total, passes_per_image=3, passes=budget.passes)
    spent = {"num_images": total, "num_labelled": total, "spent_passes": pretrain.spent}
    finetune = labelled_length(params.finetune, budget, section="finetune", **spent)
    assert min(pretrain.steps, joint.steps, finetune.steps) >= 2 * MIN_STEPS
    assert not Path("hacked").exists()
    text = Path("presets/photos.yaml").read_text(encoding="utf-8")
    for line in re.findall(r"^ *[a-z_]+: +[^&*{\n]+$", text, re.M):
        assert "#" in line or line.split(":")[0].strip() in NO_CHOICE, f"no reason: {line}"


def test_a_gpu_gets_a_larger_network_and_larger_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        picture = class_image(number % 2, np.random.default_rng(number), 300)
        save(Path("photos", str(number % 2), f"{number}.jpg"), picture)
    monkeypatch.setattr("fkt.cli.new.pick_device", lambda: torch.device("cuda"))
    params, meta = new()
    network = params.model.backbone, params.model.width, params.model.stem
    assert (meta.image_size, *network) == (224, "resnet18", 64, "imagenet")
    monkeypatch.undo()


def test_of_a_large_folder_a_part_of_each_class_is_looked_at_and_on_a_cpu_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(60)
    size = sum(path.stat().st_size for path in Path("photos").rglob("*.png"))
    monkeypatch.setattr(images, "MOST_BYTES", size / 2)
    params, _ = new()
    printed = capsys.readouterr().out
    assert "90 images were looked at" in printed and "180 images" in printed
    assert params.prepare.on_corrupt == "skip"
    monkeypatch.setattr(plan, "CPU_IMAGES", 75)
    params, meta = new("--force")
    assert (
        params.prepare.limit_per_class == 25
        and [sum(counts) for counts in zip(*meta.counts.values(), strict=True)] == [25] * 3
    )


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: folder(3), [], 'at least 4 different images.*: "bar" has 3, "disc" has 3'),
        (lambda: folder(9, ("one",)), [], "contains one class folder"),
        (lambda: save(Path("photos/a.png"), np.zeros((8, 8), np.uint8)), [], "no class folders"),
        (lambda: None, [], "error: photos is not a folder"),
        (lambda: patients(2), ["--groups", "parent-folder"], 'at least 3 groups .*"ill" has 2'),
        (lambda: patients(3), ["--groups", "p[0-9]"], r"--groups p\[0-9\]: give .* one pair of parentheses"),
        (table, ["--csv", "labels.csv", "--groups", "patien"], r"a column of the table \(patient\)"),
        (table, ["--csv", "none.csv"], "none.csv cannot be read"),
        (lambda: folder(9), ["--name", "smoke", "--force"], "presets/smoke.yaml exists already; --name"),
        (lambda: folder(9), ["--name", "../base", "--force"], "presets/base.yaml exists already"),
        (lambda: folder(9), ["--name", "\u65e5"], "give one with --name"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_message_and_nothing_is_written(
    make: Callable[[], Any], arguments: list[str], message: str
) -> None:
    make()
    before = {path: path.read_bytes() for path in [Path("params.yaml"), *Path("presets").iterdir()]}
    with pytest.raises(SystemExit, match=message):
        main(["new", "photos", "--no-estimate", *arguments])
    assert {path: path.read_bytes() for path in [Path("params.yaml"), *Path("presets").iterdir()]} == before


def test_a_preset_of_the_command_is_replaced_with_force_only() -> None:
    folder(9)
    new()
    with pytest.raises(SystemExit, match="photos.yaml exists already; --force replaces it"):
        main(["new", "photos", "--no-estimate"])
    shutil.rmtree("photos/ring")
    assert len(new("--force")[1].classes) == 2
