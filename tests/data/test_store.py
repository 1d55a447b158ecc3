"""Prepared data as the later stages open them."""

import os

import numpy as np
import pytest
import torch

from fkt.core import seals
from fkt.core.errors import CorruptData
from fkt.data import store
from fkt.data.meta import SPLITS
from fkt.data.store import load_split
from tests.fakes import write_prepared


@pytest.fixture
def prepared(tmp_path):
    write_prepared(tmp_path)
    return tmp_path


@pytest.mark.parametrize("resident_bytes", [store.RESIDENT_BYTES, 0], ids=["in memory", "on disk"])
def test_a_split_contains_its_own_images_labels_and_ids(prepared, monkeypatch, resident_bytes):
    monkeypatch.setattr(store, "RESIDENT_BYTES", resident_bytes)
    images, labels = np.load(prepared / "images.npy"), np.load(prepared / "labels.npy")
    seen = []
    for part in SPLITS:
        split = load_split(prepared, part)
        assert isinstance(split._images, torch.Tensor if resident_bytes else np.memmap)
        assert len(split) == sum(split.meta.counts[part])
        np.testing.assert_array_equal(split.labels.numpy(), labels[split.ids])
        batch = split.to("cpu").images(torch.tensor([2, 0, 2]))
        assert batch.dtype == torch.uint8
        np.testing.assert_array_equal(batch.numpy(), images[split.ids[[2, 0, 2]]].transpose(0, 3, 1, 2))
        assert batch.is_contiguous(memory_format=torch.channels_last)
        seen += split.ids.tolist()
    assert sorted(seen) == list(range(len(images)))


@pytest.mark.parametrize(
    "change", [lambda text: text[:99], lambda text: "[]", lambda text: text.replace('"std"', '"deviation"')]
)
def test_a_broken_meta_file_is_refused_with_the_command_that_repairs_it(prepared, change):
    text = (prepared / "meta.json").read_text()
    (prepared / "meta.json").write_text(change(text))
    with pytest.raises(CorruptData, match=r"meta.json is damaged or .* version .*; get it back with 'dvc checkout"):
        load_split(prepared, "train")


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "train.npy"])
def test_an_array_that_is_not_what_prepare_wrote_is_refused_with_the_commands_that_repair_it(prepared, name):
    path = prepared / name
    path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    with pytest.raises(CorruptData, match=rf"{name} is damaged: .* 'dvc checkout --force .*--force -s prepare'"):
        load_split(prepared, "train")


def test_a_large_file_is_read_when_its_size_or_time_has_changed_and_once_a_run(prepared, tmp_path, monkeypatch):
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr(seals, "SMALL", 0)
    load_split(prepared, "train")
    path, times = prepared / "labels.npy", os.stat(prepared / "labels.npy")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\1")
    with pytest.raises(CorruptData, match="labels.npy is damaged"):
        load_split(prepared, "train")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    load_split(prepared, "train")
    monkeypatch.setattr(seals, "VALID_SECONDS", 0)
    with pytest.raises(CorruptData, match="labels.npy is damaged"):
        load_split(prepared, "train")


def test_a_folder_without_meta_is_refused_with_the_command_that_prepares_it(tmp_path):
    with pytest.raises(CorruptData, match="meta.json is missing; run 'dvc repro prepare'"):
        load_split(tmp_path, "train")
