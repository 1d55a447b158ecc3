"""Preparation as a whole, from raw data to a prepared folder."""

import hashlib
import os
import shutil
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from fkt.core.errors import CorruptData, DatasetNotFound, ParamsError, UserError
from fkt.data.meta import SPLITS, load_meta, load_names
from fkt.raw import pixels, trees
from fkt.raw import prepare as prepare_module
from fkt.raw.notes import printed_notes
from fkt.raw.pixels import STD_FLOOR, mean_and_std
from fkt.raw.prepare import prepare
from tests import fakes
from tests.fakes import contents, prepare_params


def arrays(folder):
    return {name: np.load(folder / f"{name}.npy") for name in ("images", "labels", *SPLITS)}


@pytest.fixture(scope="module")
def shared_raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    fakes.write_folder(folder, ("a", "b", "c"), {"train": 20, "test": 5})
    return folder


@pytest.fixture
def raw(shared_raw, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(shared_raw, tmp_path / "raw")


def test_a_prepared_folder_has_the_documented_files(raw, tmp_path):
    meta = prepare("folder", prepare_params(raw), tmp_path / "data")
    data = arrays(tmp_path / "data")
    assert data["images"].shape == (75, 16, 16, 3) and data["images"].dtype == np.uint8
    assert data["labels"].shape == (75,) and data["labels"].dtype == np.int64
    index = np.concatenate([data[part] for part in SPLITS])
    np.testing.assert_array_equal(np.sort(index), np.arange(75))
    for part in SPLITS:
        assert data[part].dtype == np.int64 and (np.diff(data[part]) > 0).all()
        assert np.bincount(data["labels"][data[part]]).tolist() == meta.counts[part]
    assert meta.counts == {"train": [16] * 3, "val": [4] * 3, "test": [5] * 3}
    assert meta == load_meta(tmp_path / "data")
    files = contents(tmp_path / "data")
    assert set(files) == {*meta.checksums, "meta.json"}
    assert meta.checksums == {name: hashlib.sha256(files[name]).hexdigest() for name in meta.checksums}
    assert str(tmp_path).encode() not in files["meta.json"], "the same bytes on every machine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "raw"]
    values = data["images"][data["train"]].reshape(-1, 3) / 255
    np.testing.assert_allclose(meta.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(meta.std, values.std(axis=0), rtol=1e-12)


def test_the_bytes_do_not_depend_on_the_workers_or_the_size_of_chunks(raw, tmp_path, monkeypatch):
    shutil.copy(raw / "test/c/001.png", raw / "train/c/leak.png")  # its row is dropped
    for workers, size in (("0", pixels.CHUNK_BYTES), ("1", 50_000), ("4", 1)):
        monkeypatch.setenv("FKT_WORKERS", workers)
        monkeypatch.setattr(pixels, "CHUNK_BYTES", size)
        prepare("folder", prepare_params(raw, masks="saliency"), tmp_path / workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "1") == contents(tmp_path / "4")
    monkeypatch.setenv("FKT_WORKERS", "many")
    with pytest.raises(UserError, match="FKT_WORKERS: 'many' is not a whole number from 0"):
        prepare("folder", prepare_params(raw), tmp_path / "many")


def test_large_images_are_summed_in_little_memory():
    images = np.random.default_rng(0).integers(0, 256, (60, 512, 512, 3), dtype=np.uint8)
    tracemalloc.start()
    found = mean_and_std(images, np.arange(60))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pixels.CHUNK_BYTES
    np.testing.assert_allclose(found[0], images.reshape(-1, 3).mean(axis=0) / 255, rtol=1e-9)


def test_a_constant_channel_has_the_least_deviation():
    images = np.full((4, 8, 8, 2), 51, dtype=np.uint8)
    images[0, 0, 0, 1] = 255
    mean, std = mean_and_std(images, np.arange(4))
    assert mean[0] == 0.2 and std[0] == STD_FLOOR
    assert std[1] == pytest.approx((images[..., 1] / 255).std(), rel=1e-12)


def test_the_number_of_threads_follows_the_usable_cores(monkeypatch):
    monkeypatch.delenv("FKT_WORKERS", raising=False)
    for cores, expected in ((1, 1), (3, 3), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert pixels.decode_workers() == expected
    monkeypatch.setenv("FKT_WORKERS", "0")
    assert pixels.decode_workers() == 1


def test_unreadable_files_are_named_in_one_error_or_left_out(raw, tmp_path):
    fakes.write_odd_files(raw / "train" / "a")
    broken = fakes.write_broken_files(raw / "train" / "b")
    (raw / "test" / "c" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (raw / "test" / "c" / "list.txt").write_text("000.png")
    with pytest.raises(CorruptData) as caught:
        prepare("folder", prepare_params(raw), tmp_path / "data")
    message = str(caught.value)
    assert message.startswith("image files that cannot be read: 4 of 86\n")
    assert all(f"train/b/{name}: " in message for name in broken) and "test/c/cut.png: " in message
    assert "prepare.on_corrupt: skip" in message
    assert list(tmp_path.glob("*data*")) == []

    meta = prepare("folder", prepare_params(raw, on_corrupt="skip"), tmp_path / "data")
    assert len(meta.notes["skipped"]) == 4
    assert sum(sum(counts) for counts in meta.counts.values()) == 75 + 7
    assert printed_notes(meta)[:2] == [
        "ignored files: 1 (not an image format that is read, or not in a class folder): 1 .txt (test/c/list.txt)",
        "unreadable files: 4 left out",
    ]
    data = arrays(tmp_path / "data")
    assert len(data["images"]) == 82 and data["images"][data["test"]].any(axis=(1, 2, 3)).all()


def test_a_long_list_of_unreadable_files_is_shortened(tmp_path):
    for label in ("a", "b"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(25):
            (tmp_path / "raw" / label / f"{number}.png").write_bytes(b"")
    with pytest.raises(CorruptData) as caught:
        prepare("folder", prepare_params(tmp_path / "raw"), tmp_path / "data")
    assert str(caught.value).count("the file is empty") == 20 and "and 30 more" in str(caught.value)
    with pytest.raises(CorruptData, match="none of the 50 images of folder can be read"):
        prepare("folder", prepare_params(tmp_path / "raw", on_corrupt="skip"), tmp_path / "data")


def test_identical_images_stay_in_one_split_and_copies_of_test_images_are_dropped(raw, tmp_path):
    for number in range(4):
        shutil.copy(raw / "train/a/000.png", raw / f"train/a/copy{number}.png")
    shutil.copy(raw / "train/b/003.png", raw / "train/c/other_label.png")
    Image.open(raw / "test/c/001.png").save(raw / "train/c/leak.bmp")  # other bytes, same pixels
    meta = prepare("folder", prepare_params(raw), tmp_path / "data")
    data = arrays(tmp_path / "data")
    where = {}
    for part in SPLITS:
        for row in data[part]:
            where.setdefault(data["images"][row].tobytes(), set()).add(part)
    assert all(len(parts) == 1 for parts in where.values())
    assert len(data["images"]) == 75 + 6 - 1, "the row of the dropped image is removed"
    assert meta.notes["duplicates"] == {"groups": 3, "images": 9, "dropped": ["train/c/leak.bmp"]}
    assert meta.notes["conflicting_labels"] == [{"train/b/003.png": "b", "train/c/other_label.png": "c"}]
    text = "\n".join(printed_notes(meta))
    assert "identical images: 9 in 3 groups" in text and "conflicting labels: 1 group of identical images" in text
    assert "train/c/leak.bmp" in text and "train/b/003.png (b), train/c/other_label.png (c)" in text
    meta = prepare("folder", prepare_params(raw, on_conflict="drop"), tmp_path / "data")
    assert not {"train/b/003.png", "train/c/other_label.png"} & set(load_names(tmp_path / "data"))
    assert len(np.load(tmp_path / "data" / "images.npy")) == 75 + 6 - 1 - 2
    text = "\n".join(printed_notes(meta))
    assert "conflicts left out: 2 identical images with different labels\n  train/b/003.png" in text
    assert "conflicting labels" not in text


def test_a_limit_decodes_only_the_images_that_it_keeps(raw, tmp_path, monkeypatch):
    opened = []
    decode = trees.decode_file
    monkeypatch.setattr(trees, "decode_file", lambda path, *rest, **more: opened.append(path) or decode(path, *rest))
    meta = prepare("folder", prepare_params(raw, limit_per_class=5), tmp_path / "data")
    assert meta.counts == {"train": [4] * 3, "val": [1] * 3, "test": [5] * 3}
    assert len(set(opened)) == 30


def test_an_earlier_preparation_is_replaced_or_after_an_error_kept(raw, tmp_path):
    prepare("folder", prepare_params(raw), tmp_path / "data")
    before = contents(tmp_path / "data")
    with pytest.raises(ParamsError, match=r'prepare.val_fraction: 0.2 of the 2 images of class "a"'):
        prepare("folder", prepare_params(raw, limit_per_class=2), tmp_path / "data")
    with pytest.raises(DatasetNotFound):
        prepare("folder", prepare_params(tmp_path / "absent"), tmp_path / "data")
    assert contents(tmp_path / "data") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "raw"]
    prepare("folder", prepare_params(raw, image_size=24), tmp_path / "data")
    prepare("folder", prepare_params(raw, image_size=24), tmp_path / "fresh")
    assert contents(tmp_path / "data") == contents(tmp_path / "fresh")


def test_raw_images_are_never_deleted(tmp_path):
    fakes.write_folder(tmp_path / "data", ("a", "b"), 8)
    with pytest.raises(UserError, match="it contains a, b; move these files"):
        prepare("folder", prepare_params(tmp_path / "data"), tmp_path / "data")
    assert len(list((tmp_path / "data").rglob("*.png"))) == 16


def test_a_full_disk_is_noticed_before_writing(raw, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="free some space, or lower prepare.image_size"):
        prepare("folder", prepare_params(raw), tmp_path / "data")
