"""The listing of raw files: what it notices, and what it leaves alone."""

import shutil
from pathlib import Path

from fkt.core.runs import listing_path, transfer_listing_path
from fkt.params import load_params
from fkt.raw.listing import changes, update
from tests import fakes
from tests.conftest import ROOT


def test_masks_and_datasets_of_transfer_are_listed_hidden_files_are_not_and_a_listing_outlives_the_files(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shipped = load_params(ROOT / "params.yaml")
    settings = shipped.prepare.model_copy(update={"source": "own", "masks": "files"})
    transfer = shipped.transfer.model_copy(update={"datasets": ["intel"]})
    params = shipped.model_copy(update={"dataset": "folder", "prepare": settings, "transfer": transfer})
    assert changes(params) == [], "there are no raw files"
    fakes.write_folder(Path("own"), ("a", "b"), 3)
    fakes.write_intel(Path("data/raw/intel"), 1, 1)
    assert changes(params) == [f"{number} raw files, listed for the first time" for number in (6, 13)]
    for name in ("folder", "intel"):
        update(params, name)
    fakes.write_folder(Path("own-masks"), ("a", "b"), 3)
    (Path("own") / ".DS_Store").write_bytes(b"x")
    assert [text.split(", ")[0] for text in changes(params)] == [
        "raw files changed since they were prepared: 6 files -> 12"
    ]
    update(params, "folder")
    paths = listing_path("folder"), transfer_listing_path("intel")
    before = [path.read_bytes() for path in paths]
    shutil.rmtree("own")
    assert changes(params) == [] and update(params, "folder").startswith("no raw files of folder here")
    assert [path.read_bytes() for path in paths] == before
    assert update(shipped, "digits").startswith("the raw images of digits are not files")
