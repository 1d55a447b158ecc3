"""Groups: patients, scenes and bursts stay in one split, whatever names them."""

import shutil

import numpy as np
import pytest

from fkt.core.errors import CorruptData, DatasetNotFound, ParamsError
from fkt.data.meta import SPLITS, load_names
from fkt.raw.groups import group_keys, united
from fkt.raw.notes import data_card, printed_notes
from fkt.raw.prepare import prepare
from tests import fakes
from tests.fakes import prepare_params, read


def write_patients(root, classes=("ill", "well"), patients=6, images=4):
    """Write <class>/<patient>/<image>; the patients have other numbers in each class."""
    for label, name in enumerate(classes):
        for patient in range(patients):
            draw = np.random.default_rng([label, patient])
            for number in range(images):
                path = root / name / f"p{patient + 100 * label}" / f"{number}.png"
                fakes.save(path, fakes.class_image(label, draw))


def splits_of(folder, key):
    """Return key -> the splits that its images are in."""
    names, found = load_names(folder), {}
    for part in SPLITS:
        for row in np.load(folder / f"{part}.npy"):
            found.setdefault(key(names[row]), set()).add(part)
    return found


@pytest.mark.parametrize("rule", ["parent_folder", r"pattern:/(p\d+)/"])
def test_a_patient_is_in_one_split_and_copies_join_patients(tmp_path, rule):
    raw = tmp_path / "raw"
    write_patients(raw)
    fakes.write_classes(raw / "ill", ("p103",), 2, seed=5)  # a patient with images of two classes
    shutil.copy(raw / "ill/p0/0.png", raw / "ill/p1/copy.png")  # so p0 and p1 are one group
    if rule == "parent_folder":
        fakes.save(raw / "well" / "loose.png", fakes.class_image(1, np.random.default_rng(99)))
    for seed in range(5):
        meta = prepare("folder", prepare_params(raw, groups=rule, split_seed=seed), tmp_path / "data")
        found = splits_of(tmp_path / "data", lambda name: name.split("/")[1])
        assert all(len(parts) == 1 for parts in found.values()) and found["p0"] == found["p1"]
        assert all(min(meta.counts[part]) >= 4 for part in SPLITS if rule != "parent_folder")
    groups = np.load(tmp_path / "data" / "groups.npy")
    names = load_names(tmp_path / "data")
    keys = [{"p1": "p0"}.get(name.split("/")[1], name.split("/")[1]) for name in names]
    for row, other in np.ndindex(len(names), len(names)):
        assert (groups[row] == groups[other]) == (keys[row] == keys[other])
    card = dict(data_card(meta))
    alone = 1 if rule == "parent_folder" else 0
    assert card["Groups"].startswith(f"{11 + alone} ({rule}) of {1 if alone else 4} to 9 images, median 4; ")
    assert ("images that are in no group: 1" in card["Groups"]) == bool(alone)
    assert "with images of several classes: 1" in card["Groups"]
    assert "whole groups, about 20 % of the training images of each class" in card["Test images"]


def test_images_of_a_test_patient_are_left_out_of_train(tmp_path):
    raw = tmp_path / "raw"
    write_patients(raw / "train")
    for seed, (name, patient) in enumerate((("ill", "p3"), ("well", "p101"))):
        fakes.write_classes(raw / "test" / name, (patient,), 2, seed=7 + seed)
    meta = prepare("folder", prepare_params(raw, groups="parent_folder"), tmp_path / "data")
    assert meta.counts["test"] == [2, 2] and meta.notes["groups"]["test"] == 2
    gone = {f"train/{path}/{number}.png" for path in ("ill/p3", "well/p101") for number in range(4)}
    assert set(meta.notes["groups"]["dropped"]) == gone and not gone & set(load_names(tmp_path / "data"))
    assert "duplicates" not in meta.notes
    assert any(line.startswith("groups across splits: 8 left out, because an image") for line in printed_notes(meta))


def test_too_few_groups_are_refused_with_the_class_and_the_remedy(tmp_path):
    write_patients(tmp_path, patients=2)
    message = r'class "ill" has 2 groups, class "well" has 2 groups of training .* train, val, test need one each; add'
    with pytest.raises(ParamsError, match=message):
        prepare("folder", prepare_params(tmp_path, groups="parent_folder"), tmp_path / "data")
    write_patients(tmp_path, patients=3)
    meta = prepare("folder", prepare_params(tmp_path, groups="parent_folder"), tmp_path.with_name("data"))
    assert meta.counts == {part: [4, 4] for part in SPLITS}


def test_patients_with_folders_in_every_class_are_no_parts_of_a_dataset(tmp_path):
    for name in ("left", "right"):
        fakes.write_classes(tmp_path / "raw" / name, ("p1", "p2", "p3", "p4"), 3, seed=len(name))
    with pytest.raises(DatasetNotFound, match="parts of a dataset, not .* set prepare.groups: parent_folder. Expected"):
        read("folder", tmp_path / "raw")
    meta = prepare("folder", prepare_params(tmp_path / "raw", groups="parent_folder"), tmp_path / "data")
    assert meta.classes == ["left", "right"] and meta.counts == {"train": [6, 6], "val": [3, 3], "test": [3, 3]}
    assert set(map(len, splits_of(tmp_path / "data", lambda name: name.split("/")[1]).values())) == {1}


def test_groups_that_share_images_are_the_connected_components():
    draw = np.random.default_rng(0)
    for _ in range(20):
        keys = [None if draw.random() < 0.2 else f"g{draw.integers(8)}" for _ in range(30)]
        same = draw.integers(0, 25, 30)
        expected = np.arange(30)
        for _ in range(30):  # the lowest position that is reached in so many steps
            for one, other in np.ndindex(30, 30):
                if same[one] == same[other] or (keys[one] is not None and keys[one] == keys[other]):
                    expected[one] = expected[other] = min(expected[one], expected[other])
        np.testing.assert_array_equal(united(keys, same), np.unique(expected, return_inverse=True)[1])


@pytest.mark.parametrize(
    ("dataset", "rule", "error", "message"),
    [
        ("digits", "parent_folder", ParamsError, "parent_folder needs image files, but this dataset has arrays"),
        ("folder", "parent_folder", ParamsError, "no image is in a folder inside the folder of its class; use column"),
        ("folder", r"pattern:a/(\d)", ParamsError, r"finds no group in 3 of 6 paths:\n +b/000.png\n"),
        ("folder", "column:patient", ParamsError, "unknown column 'patient'; choose from: case, label, path"),
        ("folder", "column:case", CorruptData, r"the column 'case' is empty for\n +b/000.png"),
    ],
)
def test_a_rule_that_does_not_fit_the_source_is_refused(tmp_path, dataset, rule, error, message):
    fakes.write_folder(tmp_path / "images", ("a", "b"), 3)
    lines = [f"{name}/00{number}.png,{name},{name.strip('b')}" for name in "ab" for number in range(3)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,case", *lines]))
    table = str(tmp_path / "list.csv") if "column" in rule else None
    source = None if dataset == "digits" else str(tmp_path / "images")
    with pytest.raises(error, match=message):
        group_keys(read(dataset, source, table=table), rule)
