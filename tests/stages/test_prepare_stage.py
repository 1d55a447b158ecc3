"""Stage prepare: which dataset it prepares, and what it prints."""

from pathlib import Path

from fkt.data.meta import load_meta
from fkt.params import load_params
from stages.prepare import main
from tests import fakes
from tests.conftest import ROOT


def test_a_dataset_of_transfer_is_read_from_its_own_folder_and_has_no_masks(tmp_path, monkeypatch):
    shipped = load_params(ROOT / "params.yaml")
    settings = shipped.prepare.model_copy(update={"source": "elsewhere", "image_size": 24, "masks": "files"})
    settings = settings.model_copy(update={"groups": "parent_folder", "val_as_test": True})
    monkeypatch.chdir(tmp_path)
    fakes.write_folder(Path("data/raw/folder"), ("a", "b"), 20)
    main(shipped.model_copy(update={"dataset": "cifar10", "prepare": settings}), "folder")
    meta = load_meta(Path("data/transfer/folder"))
    assert (meta.dataset, meta.classes, meta.image_size, meta.channels) == ("folder", ["a", "b"], 24, 1)
    assert not Path("data/transfer/folder/masks.npy").exists()
    assert not Path("data/cifar10").exists()


def test_the_dataset_of_params_yaml_is_prepared_and_its_classes_are_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(load_params(ROOT / "params.yaml"))
    meta = load_meta(Path("data/digits"))
    assert {part: sum(counts) for part, counts in meta.counts.items()} == {"train": 862, "val": 216, "test": 719}
    lines = capsys.readouterr().out.splitlines()
    fraction = "% of the training images of each class, drawn at random (prepare."
    assert lines[:3] == [
        "Training images: 862 of 1,797, from scikit-learn, without official splits",
        f"Validation images: 216, 20 {fraction}val_fraction)",
        f"Test images: 719, 40 {fraction}test_fraction)",
    ]
    assert lines[3] == "note: enlarged images: 1,797 of 1,797: a side is under 12 pixels"
    assert [line.split() for line in lines[5:7]] == [["0", "86", "21", "71"], ["1", "87", "22", "73"]]
    assert lines[15].split() == ["all", "862", "216", "719"]
