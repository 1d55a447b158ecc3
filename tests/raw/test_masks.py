"""Masks of the training images: computed or read, kept in step with the images, and absent where not asked for."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fkt.core.errors import CorruptData, DatasetNotFound, ParamsError
from fkt.data import store
from fkt.data.meta import load_meta
from fkt.data.store import load_split
from fkt.params import load_params
from fkt.raw.decode import decode_file
from fkt.raw.prepare import prepare
from fkt.raw.saliency import saliency_maps
from fkt.raw.summary import remarks
from tests import fakes

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


def params(source, masks="none", **changes):
    changes = {"image_size": 16, "channels": 3, "source": str(source), "masks": masks} | changes
    return PARAMS.prepare.model_copy(update=changes)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def raw(tmp_path):
    fakes.write_folder(tmp_path / "raw", ("a", "b"), {"train": 10, "test": 3}, size=24)
    return tmp_path / "raw"


def write_masks(source):
    """A mask for each training image: the bright pixels of its shape."""
    for path in (source / "train").rglob("*.png"):
        image = np.asarray(Image.open(path).convert("L"))
        fakes.save(source.with_name("raw-masks") / path.relative_to(source), 255 * (image > 90).astype(np.uint8))
    return source.with_name("raw-masks")


def test_without_masks_nothing_is_written_and_masks_change_no_other_byte(raw, tmp_path):
    write_masks(raw)
    for kind in ("none", "saliency", "files"):
        prepare("folder", params(raw, kind), tmp_path / kind)
    none, saliency, files = (contents(tmp_path / kind) for kind in ("none", "saliency", "files"))
    assert "masks.npy" not in none and "masks" not in load_meta(tmp_path / "none").notes
    for made in (saliency, files):
        assert set(made) == {*none, "masks.npy"}
        assert all(made[name] == none[name] for name in none if name != "meta.json")
    assert saliency["masks.npy"] != files["masks.npy"]
    meta = load_meta(tmp_path / "saliency")
    assert meta.checksums["masks.npy"] == hashlib.sha256(saliency["masks.npy"]).hexdigest()
    prepare("folder", params(raw), tmp_path / "saliency")
    assert contents(tmp_path / "saliency") == none, "masks of an earlier preparation are gone"


def test_saliency_is_that_of_each_training_image_whatever_the_chunks(raw, tmp_path, monkeypatch):
    prepare("folder", params(raw, "saliency"), tmp_path / "0")
    monkeypatch.setattr("fkt.raw.pixels.CHUNK_BYTES", 3 * 100 * 16 * 16 * 3)  # three images of 16 x 16 x 3 at a time
    prepare("folder", params(raw, "saliency"), tmp_path / "1")
    assert contents(tmp_path / "0") == contents(tmp_path / "1")
    split = load_split(tmp_path / "0", "train", with_masks=True)
    everything = torch.arange(len(split))
    images = split.images(everything).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(split.masks(everything).numpy(), saliency_maps(images))
    assert np.load(tmp_path / "0" / "masks.npy").shape == (16, 16, 16)
    assert "16 training images have masks (saliency)" in remarks(split.meta)


def test_a_masks_pixels_stay_over_those_of_its_image(raw, tmp_path):
    """Both are resized and cut alike: the mask of an image's bright part is where the prepared image is bright."""
    write_masks(raw)
    shutil.copy(raw / "train/a/000.png", raw / "train/a/copy.png")  # a group of copies, and one that is dropped
    shutil.copy(raw / "test/b/001.png", raw / "train/b/leak.png")
    for name in ("a/copy.png", "b/leak.png"):
        image = np.asarray(Image.open(raw / "train" / name).convert("L"))
        fakes.save(tmp_path / "raw-masks/train" / name, 255 * (image > 90).astype(np.uint8))
    fakes.write_broken_files(raw / "train/a")  # they need no masks
    meta = prepare("folder", params(raw, "files", limit_per_class=11, on_corrupt="skip"), tmp_path / "data")
    assert meta.notes["duplicates"]["dropped"] and meta.notes["skipped"]
    split = load_split(tmp_path / "data", "train", with_masks=True)
    everything = torch.arange(len(split))
    bright = split.images(everything).permute(0, 2, 3, 1).numpy() @ np.array([0.299, 0.587, 0.114])
    masks = split.masks(everything).numpy()
    assert (masks.max(axis=(1, 2)) == 255).all()
    for image, mask in zip(bright, masks, strict=True):
        assert np.corrcoef(image.ravel(), mask.ravel())[0, 1] > 0.8
    others = [np.corrcoef(bright[i].ravel(), masks[i - 1].ravel())[0, 1] for i in range(len(split))]
    assert min(others) < 0.6, "the comparison tells one mask from another"


def test_a_mask_may_be_png_beside_a_jpg_and_hold_class_numbers(tmp_path):
    fakes.write_intel(tmp_path / "raw", train=6, test=2, size=16)
    for path in (tmp_path / "raw" / "seg_train").rglob("*.jpg"):
        height, width = decode_file(path, 1).shape[:2]
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[:, width // 2 :] = 1  # 1 of 255 would all but vanish
        fakes.save((tmp_path / "raw-masks" / path.relative_to(tmp_path / "raw")).with_suffix(".png"), mask)
    prepare("intel", params(tmp_path / "raw", "files"), tmp_path / "data")
    masks = np.load(tmp_path / "data" / "masks.npy")
    assert (masks[:, :, 9:] == 255).all() and (masks[:, :, :7] == 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_in_a_mask_is_no_object(raw, tmp_path, mode):
    """A cut-out: the object white and opaque, the rest transparent, whatever color lies under it."""
    inside = np.zeros((24, 24), dtype=bool)
    inside[6:18, 6:18] = True
    for path in (raw / "train").rglob("*.png"):
        whole = np.zeros(np.asarray(Image.open(path)).shape[:2], dtype=bool)
        whole[:24, (whole.shape[1] - 24) // 2 :][:, :24] = inside  # the part that preparation cuts out
        alpha = Image.fromarray(255 * whole.astype(np.uint8))
        place = tmp_path / "raw-masks" / path.relative_to(raw)
        place.parent.mkdir(parents=True, exist_ok=True)
        if mode == "P":
            alpha.quantize(2).save(place, transparency=alpha.quantize(2).getpixel((0, 0)))
        else:
            cut = Image.new("RGBA", alpha.size, "white")
            cut.putalpha(alpha)
            cut.convert(mode).save(place)
    prepare("folder", params(raw, "files", image_size=24), tmp_path / "data")
    masks = np.load(tmp_path / "data" / "masks.npy")
    np.testing.assert_array_equal(masks, np.broadcast_to(255 * inside, masks.shape))


@pytest.mark.parametrize("source", [".", "train/..", "../raw", "../raw/"])
def test_masks_lie_beside_the_source_however_it_is_written(raw, tmp_path, monkeypatch, source):
    write_masks(raw)
    prepare("folder", params(raw, "files"), tmp_path / "absolute")
    monkeypatch.chdir(raw)
    prepare("folder", params(source, "files"), tmp_path / "relative")
    assert contents(tmp_path / "relative") == contents(tmp_path / "absolute")


def test_another_images_file_name_is_never_taken_for_a_mask(raw, tmp_path):
    folder = write_masks(raw)
    Image.open(raw / "train/a/000.png").save(raw / "train/a/000.jpg", quality=30)
    with pytest.raises(CorruptData, match=r"train/a/000.jpg: the file is missing"):
        prepare("folder", params(raw, "files", val_fraction=0.1), tmp_path / "data")
    shutil.copy(folder / "train/a/000.png", folder / "train/a/000.jpg.png")
    Image.open(folder / "train/a/000.png").save(folder / "train/a/000.jpg")
    prepare("folder", params(raw, "files", val_fraction=0.1), tmp_path / "data")


def test_masks_that_are_missing_broken_or_of_another_size_are_named_with_the_remedy(raw, tmp_path):
    prepare("folder", params(raw), tmp_path / "data")
    before = contents(tmp_path / "data")
    with pytest.raises(DatasetNotFound, match=r"raw-masks, which is not there; put an image of the same relative path"):
        prepare("folder", params(raw, "files"), tmp_path / "data")
    folder = write_masks(raw)
    for label in ("a", "b"):
        (folder / "train" / label / "000.png").unlink()
        (folder / "train" / label / "001.png").write_bytes(b"")
        for number in range(2, 10):
            fakes.save(folder / "train" / label / f"{number:03d}.png", np.zeros((9, 7), dtype=np.uint8))
    with pytest.raises(CorruptData) as caught:
        prepare("folder", params(raw, "files", val_fraction=0.1), tmp_path / "data")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"masks in {folder} that cannot be used: 18 of 18"
    assert sum("the file is missing" in line or "the file is empty" in line for line in lines) >= 2
    assert any(line.endswith("it is 7 x 9 pixels, its image 24 x 24") for line in lines)
    assert "prepare.masks: saliency, or none" in lines[-1]
    assert contents(tmp_path / "data") == before


def test_an_empty_mask_is_an_object_that_is_not_there_and_is_counted(raw, tmp_path):
    folder = write_masks(raw)
    for path in (folder / "train/b").iterdir():
        fakes.save(path, np.zeros_like(np.asarray(Image.open(path))))
    meta = prepare("folder", params(raw, "files"), tmp_path / "data")
    assert meta.notes["masks"] == {"kind": "files", "images": 16, "empty": 8}
    assert any("8 of them are empty, crops of these are as they are drawn" in line for line in remarks(meta))


def test_a_split_reads_masks_only_where_it_is_told_to_and_says_where_there_are_none(raw, tmp_path):
    prepare("folder", params(raw), tmp_path / "none")
    with pytest.raises(
        ParamsError, match="was prepared without; set prepare.masks: saliency or files, and run 'dvc re"
    ):
        load_split(tmp_path / "none", "train", with_masks=True)
    prepare("folder", params(raw, "saliency"), tmp_path / "data")
    with pytest.raises(AssertionError, match="only where it is told to"):
        load_split(tmp_path / "data", "train").masks(torch.tensor([0]))


def test_masks_follow_their_images_into_parts_and_from_disk(raw, tmp_path, monkeypatch):
    prepare("folder", params(raw, "saliency"), tmp_path / "data")
    held = load_split(tmp_path / "data", "train", with_masks=True)
    monkeypatch.setattr(store, "RESIDENT_BYTES", 0)
    mapped = load_split(tmp_path / "data", "train", with_masks=True)
    assert isinstance(mapped._masks, np.memmap)
    for split in (held, mapped, held.to("cpu"), mapped.to("cpu")):
        index = torch.tensor([11, 0, 5])
        expected = np.load(tmp_path / "data" / "masks.npy")[index.numpy()]
        np.testing.assert_array_equal(split.masks(index).numpy(), expected)
        part = split.subset(torch.tensor([5, 11, 0]))
        np.testing.assert_array_equal(part.masks(torch.tensor([1, 2, 0])).numpy(), expected)
        assert torch.equal(part.images(torch.tensor([1, 2, 0])), split.images(index))
