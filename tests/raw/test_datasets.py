"""The readers, on tiny data in the layout of each source."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fkt.core.errors import CorruptData, DatasetNotFound, ParamsError
from fkt.raw.fundus import GRADES
from tests import fakes
from tests.fakes import counted, read


def test_digits_are_those_of_scikit_learn_scaled_to_bytes():
    from sklearn.datasets import load_digits

    raw = read("digits", None)
    assert (len(raw), raw.classes, set(raw.parts)) == (1797, [str(d) for d in range(10)], {"train"})
    truth = load_digits()
    for i in (0, 1000, 1796):
        expected = [[round(v / 16 * 255 + 1e-9) for v in row] for row in truth.images[i].tolist()]
        np.testing.assert_array_equal(raw.load(i, 1)[..., 0], expected)
        assert raw.labels[i] == truth.target[i] and raw.names[i] == f"row {i}"
    with pytest.raises(ParamsError, match="prepare.source: /somewhere: digits is part of a library; leave"):
        read("digits", "/somewhere")


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("folder", "<source>/<class>/<images>"),
        ("intel", "puneet6060/intel-image-classification"),
        ("aptos", "aptos2019-blindness-detection"),
        ("imagenet100", "image-net.org"),
        ("cifar10", "prepare.download: true"),
        ("mnist", "4 of 4 files of mnist not found in data/raw/mnist; missing: train-images-idx3-ubyte"),
    ],
)
def test_the_error_for_missing_data_says_what_belongs_where(tmp_path, monkeypatch, dataset, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetNotFound) as caught:
        read(dataset, None)
    assert words in str(caught.value)
    assert str(Path("data/raw") / dataset) in str(caught.value)


@pytest.mark.parametrize("source", [None, "elsewhere/mine"])
def test_a_queued_experiment_finds_the_raw_data_of_the_original_repository(tmp_path, monkeypatch, source):
    original, copy = tmp_path / "original", tmp_path / "copy"
    copy.mkdir()
    fakes.write_folder(original / (source or "data/raw/folder"), ("a", "b"), 4)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(original))
    assert read("folder", source).classes == ["a", "b"]
    fakes.write_folder(copy / (source or "data/raw/folder"), ("c", "d"), 4)
    assert read("folder", source).classes == ["c", "d"]


@pytest.mark.parametrize("names", [("train", "test", "val"), ("Training", "Testing", "valid")])
def test_a_folder_with_parts_keeps_them(tmp_path, names):
    fakes.write_folder(tmp_path, ("a", "b"), dict(zip(names, (5, 3, 2), strict=True)))
    fakes.write_folder(tmp_path / "unlabelled", ("x",), 1)
    raw = read("folder", tmp_path)
    assert counted(raw) == {"train": [5, 5], "test": [3, 3], "val": [2, 2]}
    assert raw.classes == ["a", "b"]
    assert list(raw.origins.values()) == [f"from the folder {names[part]}" for part in (0, 2, 1)]
    assert raw.notes["ignored_folders"] == {"unlabelled": 1}


def test_images_in_subfolders_and_linked_folders_belong_to_their_class_and_other_files_are_counted(tmp_path):
    fakes.write_folder(tmp_path / "tree", ("a", "b"), 2)
    fakes.write_classes(tmp_path / "tree" / "a", ("deeper",), 3, suffix=".JPG")
    fakes.write_classes(tmp_path / "tree", (".hidden", "__MACOSX"), 2)
    fakes.write_classes(tmp_path, ("elsewhere",), 4)
    (tmp_path / "tree" / "a" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "tree" / "b" / "back").symlink_to(tmp_path / "tree")  # a circle
    for name in ("a/.DS_Store", "a/._000.png", "b/readme.txt", "loose.png"):
        (tmp_path / "tree" / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "tree" / "a" / "pipe.png")
    source = tmp_path / "source"
    source.symlink_to(tmp_path / "tree")
    raw = read("folder", source)
    assert counted(raw) == {"train": [5, 2]}, "links are followed on request"
    kinds = raw.notes["ignored_files"]["kinds"]
    assert kinds["link"] == (2, "a/more") and kinds["pipe or device"] == (1, "a/pipe.png")
    (tmp_path / "tree" / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(
        CorruptData, match="folders of classes that are links: .*source/c; set prepare.follow_links: true"
    ):
        read("folder", source)
    (tmp_path / "tree" / "c").unlink()
    raw = read("folder", tmp_path / "tree", follow_links=True)
    assert raw.classes == ["a", "b"]
    assert counted(raw) == {"train": [9, 2]}
    assert raw.notes["ignored_folders"] == {".hidden": 2, "__MACOSX": 2}
    assert raw.notes["ignored_files"] == {
        "count": 5,
        "kinds": {
            "hidden": (2, "a/.DS_Store"),
            "pipe or device": (1, "a/pipe.png"),
            ".png": (1, "loose.png"),
            ".txt": (1, "b/readme.txt"),
        },
        "why": "not an image format that is read, or not in a class folder",
    }


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        (["1.png"], DatasetNotFound, "contains no class folders, at least two are needed. Expected: <source>/<class>"),
        (["one/1.png"], DatasetNotFound, r"one class folder \('one'\).*set prepare.source to"),
        (
            ["fold1/cat/1.png", "fold1/dog/1.png", "fold2/cat/1.png", "fold2/dog/1.png"],
            DatasetNotFound,
            r"folders fold1, fold2 .*\(cat, dog\), so they are parts of a dataset, not classes",
        ),
        (["test/a/1.png", "val/a/1.png"], DatasetNotFound, "contains test, val but no train folder"),
        (["train/a/1.png", "val/a/1.png", "valid/a/1.png"], CorruptData, "val and .*valid are two names of the same"),
        (
            ["train/a/1.png", "train/b/1.png", "Testing/1.png"],
            DatasetNotFound,
            "Testing contains images but no class folders.*Expected: <source>/<class>",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
            CorruptData,
            "test has classes that are missing in .*train: c",
        ),
        (["a/1.png", "b\nc/1.png"], CorruptData, r"with control characters .*: b\\nc; rename them"),
        (["a/1.png", "notes/1.xml"], CorruptData, "no images in .*notes; every folder there is a class"),
    ],
)
def test_a_tree_that_is_not_a_dataset_is_refused(tmp_path, files, error, message):
    for path in map(tmp_path.joinpath, files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(error, match=message):
        read("folder", tmp_path)


@pytest.mark.parametrize("nested", [True, False])
def test_intel_is_read_as_kaggle_packs_it(tmp_path, nested):
    fakes.write_intel(tmp_path, 3, 2, nested=nested)
    raw = read("intel", tmp_path)
    assert raw.classes == list(fakes.INTEL_CLASSES)
    assert counted(raw) == {"train": [3] * 6, "test": [2] * 6}
    shutil.rmtree(tmp_path / "seg_test")
    with pytest.raises(DatasetNotFound, match="seg_test is not a folder"):
        read("intel", tmp_path)


def test_aptos_has_the_grades_of_the_table_and_crops_the_black_border(tmp_path):
    fakes.write_aptos(tmp_path, 3, size=60)
    (tmp_path / "train_images" / "extra.png").write_bytes(b"x")
    raw = read("aptos", tmp_path)
    assert raw.classes == GRADES
    assert counted(raw) == {"train": [3] * 5}
    grades = dict(line.split(",") for line in (tmp_path / "train.csv").read_text().split()[1:])
    for i in range(len(raw)):
        assert grades[Path(raw.names[i]).stem] == str(raw.labels[i])
        assert max(raw.crop(raw.load(i, 3)).shape[:2]) < 60
    assert raw.notes["ignored_files"] == {
        "count": 1,
        "kinds": {".png": (1, "train_images/extra.png")},
        "why": "not listed in train.csv",
    }


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("id,label\nx,1\n", "must contain id_code and diagnosis, but it is 'id,label'"),
        ("id_code,diagnosis\nx,5\n", "line 2: id_code 'x', diagnosis '5'; expected a grade 0 to 4"),
        ("id_code,diagnosis\nx,1\nx,2\n", "line 3: id_code 'x' has two grades"),
        ("id_code,diagnosis\n", "lists no images"),
    ],
)
def test_a_wrong_grade_table_is_refused_with_its_line(tmp_path, table, words):
    fakes.write_aptos(tmp_path, 1)
    (tmp_path / "train.csv").write_text(table)
    with pytest.raises(CorruptData, match=words):
        read("aptos", tmp_path)


def test_imagenet100_uses_the_listed_classes_with_their_names(tmp_path):
    fakes.write_imagenet100(tmp_path, 3, 2)
    raw = read("imagenet100", tmp_path)
    assert raw.classes == ["tench, Tinca tinca", "goldfish", "n01484850"]
    assert counted(raw) == {"train": [3] * 3, "test": [2] * 3}
    shutil.rmtree(tmp_path / "val" / "n01443537")
    with pytest.raises(CorruptData, match="1 of 3 listed classes have no validation folder .*: n01443537"):
        read("imagenet100", tmp_path)
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DatasetNotFound, match="no class list"):
        read("imagenet100", tmp_path)


def test_imagenet100_is_read_as_kaggle_packs_it(tmp_path):
    fakes.write_classes(tmp_path / "train.X1", ("n01",), 3)
    fakes.write_classes(tmp_path / "train.X2", ("n02", "n03"), 3)
    fakes.write_classes(tmp_path / "val.X", ("n01", "n02", "n03"), 1)
    (tmp_path / "Labels.json").write_text('{"n01": "crane", "n02": "hen", "n03": "crane"}')
    raw = read("imagenet100", tmp_path)
    assert raw.classes == ["crane (n01)", "hen", "crane (n03)"]
    assert counted(raw) == {"train": [3] * 3, "test": [1] * 3}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", "n01443537 poule fran\xe7aise\n", r"is not UTF-8 \(.* at byte 20\); save it as UTF-8"),
        ("Labels.json", '{"n01": ', "is not a JSON object of wnid: name"),
        ("Labels.json", "[1]", "is not a JSON object of wnid: name"),
    ],
)
def test_a_class_list_that_cannot_be_read_is_refused(tmp_path, name, content, message):
    fakes.write_imagenet100(tmp_path, 2, 1)
    (tmp_path / "classes.txt").unlink()
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(CorruptData, match=f"{name} {message}"):
        read("imagenet100", tmp_path)
