"""The stage: which dataset it prepares, and what it prints."""

import shutil
from pathlib import Path

from fkt.data.meta import load_meta
from tests import fakes


def test_the_stage_prepares_a_dataset_of_transfer_from_its_own_folder(tmp_path, monkeypatch):
    """With the settings of the one that is trained on, but for where that one's raw data are, and for its masks."""
    from fkt.params import load_params
    from stages.prepare import main

    shipped = load_params(Path(__file__).parents[2] / "params.yaml")
    settings = shipped.prepare.model_copy(update={"source": "elsewhere", "image_size": 24, "masks": "files"})
    monkeypatch.chdir(tmp_path)
    fakes.write_folder(Path("data/raw/folder"), ("a", "b"), 20)
    main(shipped.model_copy(update={"dataset": "cifar10", "prepare": settings}), "folder")
    meta = load_meta(Path("data/transfer/folder"))
    assert (meta.dataset, meta.classes, meta.image_size, meta.channels) == ("folder", ["a", "b"], 24, 1)
    assert not Path("data/transfer/folder/masks.npy").exists()
    assert not Path("data/cifar10").exists()


def test_the_stage_prepares_the_default_dataset_and_lists_its_classes(tmp_path, monkeypatch, capsys):
    from fkt.params import load_params
    from stages.prepare import main

    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    main(load_params())
    meta = load_meta(Path("data/digits"))
    assert {part: sum(counts) for part, counts in meta.counts.items()} == {"train": 1151, "val": 287, "test": 359}
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:3]] == [["0", "114", "28", "36"], ["1", "117", "29", "36"]]
    assert lines[11].split() == ["all", "1151", "287", "359"]
