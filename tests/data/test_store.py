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


def test_meta_does_not_change_when_it_is_written_and_read(prepared):
    meta = load_meta(prepared)
    write_meta(prepared, meta)
    assert load_meta(prepared) == meta
    assert meta.num_classes == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"std"', '"deviation"'),
    ],
    ids=["cut", "empty", "no object", "renamed field"],
)
def test_a_broken_meta_file_is_refused_with_the_command_that_repairs_it(prepared, change):
    text = (prepared / "meta.json").read_text()
    (prepared / "meta.json").write_text(change(text))
    with pytest.raises(CorruptData, match=r"meta.json was cut short or .* another version .*; run 'dvc repro prepare'"):
        load_split(prepared, "train")


def test_a_folder_without_meta_is_refused_with_the_command_that_prepares_it(tmp_path):
    with pytest.raises(CorruptData, match="meta.json is missing; run 'dvc repro prepare'"):
        load_split(tmp_path, "train")
