"""From raw data to a prepared folder, whole."""

import hashlib
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fkt.core.errors import CorruptData, DatasetNotFound, ParamsError, UserError
from fkt.data.meta import SPLITS, load_meta
from fkt.data.store import load_split
from fkt.params import load_params
from fkt.raw import folders, pixels
from fkt.raw import prepare as prepare_module
from fkt.raw.pixels import STD_FLOOR, mean_and_std
from fkt.raw.prepare import prepare
from fkt.raw.summary import class_table, remarks
from tests import fakes

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


def params(source, **changes):
    changes = {"image_size": 16, "channels": 3, "source": str(source)} | changes
    return PARAMS.prepare.model_copy(update=changes)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def arrays(folder):
    return {name: np.load(folder / f"{name}.npy") for name in ("images", "labels", *SPLITS)}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    fakes.write_folder(folder, ("a", "b", "c"), {"train": 20, "test": 5})
    return folder


def test_a_prepared_folder_is_what_the_store_documents(raw, tmp_path):
    meta = prepare("folder", params(raw), tmp_path / "data")
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
    for name, digest in meta.checksums.items():
        assert hashlib.sha256((tmp_path / "data" / name).read_bytes()).hexdigest() == digest
    assert set(contents(tmp_path / "data")) == {*meta.checksums, "meta.json"}
    assert not list(tmp_path.glob(".*"))


def test_mean_and_std_are_those_of_the_training_images(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "CHUNK_BYTES", 7 * 9 * 16 * 16 * 3)
    meta = prepare("folder", params(raw), tmp_path / "data")
    data = arrays(tmp_path / "data")
    values = data["images"][data["train"]].reshape(-1, 3) / 255
    np.testing.assert_allclose(meta.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(meta.std, values.std(axis=0), rtol=1e-12)


def test_the_size_of_the_chunks_changes_no_digit(raw, tmp_path, monkeypatch):
    """Neither of the sums nor of the arrays, of which the rows of dropped copies are left out."""
    shutil.copytree(raw, tmp_path / "raw")
    shutil.copy(raw / "test/c/001.png", tmp_path / "raw/train/c/leak.png")
    for name, size in (("whole", pixels.CHUNK_BYTES), ("pieces", 50_000), ("single", 1)):
        monkeypatch.setattr(pixels, "CHUNK_BYTES", size)
        prepare("folder", params(tmp_path / "raw", masks="saliency"), tmp_path / name)
    assert contents(tmp_path / "whole") == contents(tmp_path / "pieces") == contents(tmp_path / "single")


def test_large_images_are_added_up_a_few_at_a_time():
    images = np.random.default_rng(0).integers(0, 256, (60, 512, 512, 3), dtype=np.uint8)
    tracemalloc.start()
    found = mean_and_std(images, np.arange(60))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pixels.CHUNK_BYTES
    values = images.reshape(-1, 3)
    np.testing.assert_allclose(found[0], values.mean(axis=0) / 255, rtol=1e-9)


def test_a_constant_channel_has_the_least_deviation():
    images = np.full((4, 8, 8, 2), 51, dtype=np.uint8)
    images[0, 0, 0, 1] = 255
    mean, std = mean_and_std(images, np.arange(4))
    assert mean[0] == 0.2 and std[0] == STD_FLOOR
    assert std[1] == pytest.approx((images[..., 1] / 255).std(), rel=1e-12)


def test_equal_input_gives_equal_bytes_whatever_the_workers(raw, tmp_path, monkeypatch):
    for workers in ("0", "1", "4"):
        monkeypatch.setenv("FKT_WORKERS", workers)
        prepare("folder", params(raw), tmp_path / workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "1") == contents(tmp_path / "4")
    monkeypatch.setenv("FKT_WORKERS", "many")
    with pytest.raises(UserError, match="FKT_WORKERS: 'many' is not a whole number from 0"):
        prepare("folder", params(raw), tmp_path / "many")


def test_threads_are_as_many_as_the_processors_that_the_process_may_use(monkeypatch):
    monkeypatch.delenv("FKT_WORKERS", raising=False)
    for cores, expected in ((1, 1), (3, 3), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert pixels.decode_workers() == expected
    monkeypatch.setenv("FKT_WORKERS", "0")
    assert pixels.decode_workers() == 1


def test_another_split_seed_gives_another_split_of_the_same_images(raw, tmp_path):
    prepare("folder", params(raw), tmp_path / "0")
    prepare("folder", params(raw, split_seed=1), tmp_path / "1")
    zero, one = contents(tmp_path / "0"), contents(tmp_path / "1")
    same = {name for name in zero if zero[name] == one[name]}
    assert same == {"images.npy", "labels.npy", "test.npy"}


@pytest.mark.parametrize(
    ("dataset", "write", "test"),
    [
        ("intel", fakes.write_intel, [4] * 6),
        ("aptos", fakes.write_aptos, [2] * 5),
        ("imagenet100", fakes.write_imagenet100, [3] * 3),
    ],
)
def test_every_file_dataset_is_prepared_with_its_class_names(tmp_path, dataset, write, test):
    write(tmp_path / "raw")
    meta = prepare(dataset, params(tmp_path / "raw", channels=1, image_size=20), tmp_path / "data")
    assert meta.counts["test"] == test
    assert all(min(meta.counts[part]) > 0 for part in SPLITS)
    assert all(name in class_table(meta) for name in meta.classes)
    assert np.load(tmp_path / "data" / "images.npy").shape[1:] == (20, 20, 1)


def test_files_that_were_left_out_are_remarked_on(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    shutil.copy(raw / "test/a/000.png", tmp_path / "raw/test/loose.png")
    (tmp_path / "raw/test/a/list.txt").write_text("000.png")
    meta = prepare("folder", params(tmp_path / "raw"), tmp_path / "data")
    assert remarks(meta) == ["2 files were left out (no images, or in no class folder), such as test/loose.png"]


def test_images_keep_their_labels_and_their_look(raw, tmp_path):
    meta = prepare("folder", params(raw, image_size=32), tmp_path / "data")
    data = arrays(tmp_path / "data")
    files = sorted((raw / "train").rglob("*.png")) + sorted((raw / "test").rglob("*.png"))
    for row in (0, 25, 59, 60, 74):
        image = np.asarray(Image.open(files[row]))
        left = (image.shape[1] - 32) // 2  # 32 high already: only the sides are cut
        np.testing.assert_array_equal(data["images"][row], image[:, left : left + 32])
        assert meta.classes[data["labels"][row]] == files[row].parent.name


def test_odd_files_are_read_and_broken_ones_named_in_one_error(raw, tmp_path):
    shutil.copytree(raw, tmp_path / "raw")
    fakes.write_odd_files(tmp_path / "raw" / "train" / "a")
    broken = fakes.write_broken_files(tmp_path / "raw" / "train" / "b")
    (tmp_path / "raw" / "test" / "c" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(CorruptData) as caught:
        prepare("folder", params(tmp_path / "raw"), tmp_path / "data")
    message = str(caught.value)
    assert message.startswith("image files that cannot be read: 4\n")
    assert all(f"train/b/{name}: " in message for name in broken) and "test/c/cut.png: " in message
    assert "prepare.on_corrupt: skip" in message
    assert list(tmp_path.glob("*data*")) == []

    meta = prepare("folder", params(tmp_path / "raw", on_corrupt="skip"), tmp_path / "data")
    assert len(meta.notes["skipped"]) == 4
    assert sum(sum(counts) for counts in meta.counts.values()) == 75 + 7
    assert any("4 unreadable files were left out" in line for line in remarks(meta))
    assert len(np.load(tmp_path / "data" / "images.npy")) == 82
    clean = np.load(tmp_path / "data" / "images.npy")[np.load(tmp_path / "data" / "test.npy")]
    assert clean.any(axis=(1, 2, 3)).all()  # no row of an unreadable file is left


def test_a_long_report_is_cut_with_a_count(tmp_path):
    fakes.write_folder(tmp_path / "raw", ("a", "b"), 3)
    for number in range(25):
        (tmp_path / "raw" / "a" / f"x{number:02d}.png").write_bytes(b"")
    with pytest.raises(CorruptData) as caught:
        prepare("folder", params(tmp_path / "raw"), tmp_path / "data")
    assert str(caught.value).count("the file is empty") == 20
    assert "and 5 more" in str(caught.value)


def test_duplicates_stay_together_and_copies_of_test_images_leave_train(raw, tmp_path):
    source = tmp_path / "raw"
    shutil.copytree(raw, source)
    for number in range(4):
        shutil.copy(source / "train/a/000.png", source / f"train/a/copy{number}.png")
    shutil.copy(source / "train/b/003.png", source / "train/c/other_label.png")
    shutil.copy(source / "test/c/001.png", source / "train/c/leak.png")
    meta = prepare("folder", params(source), tmp_path / "data")
    data = arrays(tmp_path / "data")
    where = {}
    for part in SPLITS:
        for row in data[part]:
            where.setdefault(data["images"][row].tobytes(), set()).add(part)
    assert all(len(parts) == 1 for parts in where.values())
    assert len(data["images"]) == 75 + 6 - 1  # no row of a dropped image is left
    assert meta.notes["duplicates"] == {"groups": 3, "images": 9, "dropped": ["train/c/leak.png"]}
    assert meta.notes["conflicting_labels"] == [{"train/b/003.png": "b", "train/c/other_label.png": "c"}]
    text = "\n".join(remarks(meta))
    assert "train/c/leak.png" in text and "train/b/003.png (b), train/c/other_label.png (c)" in text


def test_copies_are_those_of_the_prepared_pixels(raw, tmp_path):
    source = tmp_path / "raw"
    shutil.copytree(raw, source)
    image = Image.open(source / "test/a/002.png")
    image.save(source / "train/a/other_file.bmp")  # other bytes, same pixels
    assert prepare("folder", params(source), tmp_path / "d").notes["duplicates"]["dropped"] == [
        "train/a/other_file.bmp"
    ]


def test_a_limit_decodes_only_what_it_keeps(raw, tmp_path, monkeypatch):
    opened = []
    decode = folders.decode_file
    monkeypatch.setattr(folders, "decode_file", lambda path, channels: opened.append(path) or decode(path, channels))
    meta = prepare("folder", params(raw, limit_per_class=5), tmp_path / "data")
    assert meta.counts == {"train": [4] * 3, "val": [1] * 3, "test": [5] * 3}
    assert len(opened) == 30


def test_a_given_validation_part_is_used_as_it_is(tmp_path):
    fakes.write_folder(tmp_path / "raw", ("a", "b"), {"train": 6, "val": 3, "test": 2})
    meta = prepare("folder", params(tmp_path / "raw"), tmp_path / "data")
    assert meta.counts == {"train": [6, 6], "val": [3, 3], "test": [2, 2]}


def test_a_class_too_small_to_split_is_a_params_error_and_leaves_the_earlier_data(raw, tmp_path):
    prepare("folder", params(raw), tmp_path / "data")
    before = contents(tmp_path / "data")
    with pytest.raises(ParamsError, match=r'prepare.val_fraction: 0.2 of the 2 images of class "a"'):
        prepare("folder", params(raw, limit_per_class=2), tmp_path / "data")
    with pytest.raises(DatasetNotFound):
        prepare("folder", params(tmp_path / "absent"), tmp_path / "data")
    assert contents(tmp_path / "data") == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_earlier_preparation_is_replaced_whole(raw, tmp_path):
    prepare("folder", params(raw), tmp_path / "data")
    meta = prepare("folder", params(raw, image_size=24), tmp_path / "data")
    split = load_split(tmp_path / "data", "train")
    assert split.meta == meta
    assert split.images(split.ids[:1] * 0).shape == (1, 3, 24, 24)


def test_raw_images_are_never_deleted_to_make_room(tmp_path):
    fakes.write_folder(tmp_path / "data", ("a", "b"), 8)
    with pytest.raises(UserError, match="holds a, b; move these elsewhere"):
        prepare("folder", params(tmp_path / "data"), tmp_path / "data")
    assert len(list((tmp_path / "data").rglob("*.png"))) == 16


def test_a_disk_without_room_is_noticed_before_writing(raw, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="make room, or lower prepare.image_size"):
        prepare("folder", params(raw), tmp_path / "data")


def test_nothing_readable_is_an_error_even_when_skipping(tmp_path):
    for name in ("a", "b"):
        fakes.write_broken_files(tmp_path / "raw" / name)
    with pytest.raises(CorruptData, match="none of the 6 images"):
        prepare("folder", params(tmp_path / "raw", on_corrupt="skip"), tmp_path / "data")


def test_meta_names_no_machine_and_no_time(raw, tmp_path):
    prepare("folder", params(raw), tmp_path / "data")
    assert str(tmp_path) not in json.dumps(json.loads((tmp_path / "data" / "meta.json").read_text()))
