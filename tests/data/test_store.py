"""Prepared data as the later stages open them."""

import numpy as np
import pytest
import torch

from fkt.core.errors import CorruptData
from fkt.data import store
from fkt.data.meta import SPLITS, load_meta, write_meta
from fkt.data.store import load_split
from tests.fakes import write_prepared


@pytest.fixture
def prepared(tmp_path):
    write_prepared(tmp_path)
    return tmp_path


def test_a_split_holds_its_own_images_labels_and_ids(prepared):
    images, labels = np.load(prepared / "images.npy"), np.load(prepared / "labels.npy")
    seen = []
    for part in SPLITS:
        split = load_split(prepared, part)
        assert len(split) == sum(split.meta.counts[part])
        np.testing.assert_array_equal(split.labels.numpy(), labels[split.ids])
        batch = split.images(torch.tensor([2, 0, 2]))
        assert batch.dtype == torch.uint8
        np.testing.assert_array_equal(batch.numpy(), images[split.ids[[2, 0, 2]]].transpose(0, 3, 1, 2))
        assert batch.is_contiguous(memory_format=torch.channels_last)
        seen += split.ids.tolist()
    assert sorted(seen) == list(range(len(images)))


def test_a_split_too_large_to_hold_is_read_from_disk_with_the_same_result(prepared, monkeypatch):
    held = load_split(prepared, "train")
    monkeypatch.setattr(store, "RESIDENT_BYTES", 0)
    mapped = load_split(prepared, "train")
    assert isinstance(mapped._images, np.memmap)
    index = torch.tensor([5, 1, 30])
    torch.testing.assert_close(mapped.images(index), held.images(index))
    some = torch.tensor([30, 4])
    torch.testing.assert_close(mapped.subset(some).images(torch.tensor([1])), held.images(torch.tensor([4])))


def test_a_subset_is_a_split_of_the_chosen_positions(prepared):
    split = load_split(prepared, "val")
    index = torch.tensor([3, 1])
    part = split.subset(index)
    torch.testing.assert_close(part.ids, split.ids[index])
    torch.testing.assert_close(part.labels, split.labels[index])
    torch.testing.assert_close(part.images(torch.tensor([0, 1])), split.images(index))


def test_meta_survives_writing_and_reading(prepared):
    meta = load_meta(prepared)
    write_meta(prepared, meta)
    assert load_meta(prepared) == meta
    assert meta.num_classes == 3
    assert not list(prepared.glob("*.partial"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"std"', '"deviation"'),
        lambda text: text.replace('"classes"', '"names"', 1),
    ],
    ids=["cut", "empty", "no object", "renamed", "another renamed"],
)
def test_a_meta_file_that_is_cut_or_of_another_version_says_how_to_write_it_anew(prepared, change):
    text = (prepared / "meta.json").read_text()
    (prepared / "meta.json").write_text(change(text))
    with pytest.raises(CorruptData, match=r"meta.json was cut short or .* another version .*; run 'dvc repro prepare'"):
        load_split(prepared, "train")


def test_a_folder_that_was_not_prepared_says_how_to_prepare_it(tmp_path):
    with pytest.raises(CorruptData, match="meta.json is missing; run 'dvc repro prepare'"):
        load_split(tmp_path, "train")
