"""Masks of the training images: saliency against its definition, mask files, and the prepared array."""

import hashlib
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from fkt.core.errors import CorruptData, DatasetNotFound
from fkt.data.meta import load_meta
from fkt.raw.masks import SIDE, saliency_maps, spectral_residual
from fkt.raw.notes import printed_notes
from fkt.raw.prepare import prepare
from fkt.raw.source import decode_file
from tests import fakes
from tests import references_saliency as references
from tests.fakes import contents, prepare_params


def noise(count, size, channels=1):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def test_the_spectral_residual_is_that_of_the_paper():
    images = noise(3, 10)[..., 0].astype(np.float64)
    images[1, 3:6, 2:5] = 250.0
    images[2] = 0.0
    images[2, 7, 3] = 255.0  # all frequencies of a point have one amplitude, so that only the phase goes back
    found = spectral_residual(images)
    assert (found >= 0).all()
    for image, mine in zip(images[:2], found, strict=False):
        expected = references.spectral_residual(image.tolist(), 2.5 / 64 * 10, 10 / math.sqrt(12))
        np.testing.assert_allclose(mine, expected, rtol=1e-9)
    np.testing.assert_allclose(found[2], references.smoothed((images[2] / 255).tolist(), 2.5 / 64 * 10), atol=1e-12)
    np.testing.assert_allclose(spectral_residual(4 * images), found, rtol=1e-9, atol=1e-12)  # contrast does not matter


@pytest.mark.parametrize("size", [8, 33, SIDE, 96])
def test_saliency_maps_use_the_whole_range_of_bytes_and_the_luma_of_each_image(size):
    images = noise(3, size, 3)
    images[2] = 90
    maps = saliency_maps(images)
    assert maps.shape == (3, size, size) and maps.dtype == np.uint8
    assert not maps[2].any(), "an image of one brightness has an empty map"
    assert (maps.min(axis=(1, 2)) == 0).all() and (maps[:2].max(axis=(1, 2)) >= (255 if size <= SIDE else 230)).all()
    luma = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., None]
    np.testing.assert_array_equal(maps, saliency_maps(luma))
    for image, one in zip(images, maps, strict=True):
        np.testing.assert_array_equal(saliency_maps(image[None])[0], one)


@pytest.fixture
def raw(tmp_path):
    fakes.write_folder(tmp_path / "raw", ("a", "b"), {"train": 10, "test": 3}, size=24)
    return tmp_path / "raw"


def write_masks(source):
    """Write a mask of each training image: the bright pixels of its shape."""
    folder = source.with_name("raw-masks")
    for path in (source / "train").rglob("*.png"):
        image = np.asarray(Image.open(path).convert("L"))
        fakes.save(folder / path.relative_to(source), 255 * (image > 90).astype(np.uint8))
    return folder


def prepared_train(folder):
    """The training images (N, S, S, C) of a prepared folder, and their masks (N, S, S)."""
    return np.load(folder / "images.npy")[np.load(folder / "train.npy")], np.load(folder / "masks.npy")


def test_masks_are_written_on_request_and_change_no_other_file(raw, tmp_path):
    write_masks(raw)
    for kind in ("none", "saliency", "files"):
        prepare("folder", prepare_params(raw, masks=kind), tmp_path / kind)
    none, saliency, files = (contents(tmp_path / kind) for kind in ("none", "saliency", "files"))
    assert "masks.npy" not in none and "masks" not in load_meta(tmp_path / "none").notes
    for made in (saliency, files):
        assert set(made) == {*none, "masks.npy"}
        assert all(made[name] == none[name] for name in none if name != "meta.json")
    assert saliency["masks.npy"] != files["masks.npy"]
    images, masks = prepared_train(tmp_path / "saliency")
    np.testing.assert_array_equal(masks, saliency_maps(images))
    meta = load_meta(tmp_path / "saliency")
    assert meta.checksums["masks.npy"] == hashlib.sha256(saliency["masks.npy"]).hexdigest()
    assert "masks: saliency, of 16 training images" in printed_notes(meta)
    prepare("folder", prepare_params(raw), tmp_path / "saliency")
    assert contents(tmp_path / "saliency") == none, "masks of an earlier preparation are removed"


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_a_mask_becomes_square_like_its_image(raw, tmp_path, fit):
    shutil.copy(raw / "train/a/000.png", raw / "train/a/copy.png")  # a copy that stays, and a copy that is dropped
    shutil.copy(raw / "test/b/001.png", raw / "train/b/leak.png")
    write_masks(raw)
    fakes.write_broken_files(raw / "train/a")  # unreadable images need no masks
    params = prepare_params(raw, masks="files", limit_per_class=11, on_corrupt="skip", fit=fit)
    meta = prepare("folder", params, tmp_path / "data")
    assert meta.notes["duplicates"]["dropped"] and meta.notes["skipped"]
    images, masks = prepared_train(tmp_path / "data")
    assert (masks.max(axis=(1, 2)) == 255).all()
    bright = images @ np.array([0.299, 0.587, 0.114])
    for image, mask in zip(bright, masks, strict=True):
        assert np.corrcoef(image.ravel(), mask.ravel())[0, 1] > 0.8
    others = [np.corrcoef(bright[i].ravel(), masks[i - 1].ravel())[0, 1] for i in range(len(images))]
    assert min(others) < 0.6, "the mask of another image does not fit"


def test_the_padding_of_an_image_is_not_salient_and_its_edge_is_not_either(tmp_path):
    y, x = np.mgrid[0:32, 0:64]
    for number in range(8):
        image = np.full((32, 64, 3), 200 - number, dtype=np.uint8)
        image[np.hypot(y - 16, x - 12) < 4] = 40
        fakes.save(tmp_path / "raw" / f"c{number % 2}" / f"{number}.png", image)
    params = prepare_params(tmp_path / "raw", masks="saliency", image_size=64, fit="pad")
    prepare("folder", params, tmp_path / "data")
    images, masks = prepared_train(tmp_path / "data")
    for image, mask in zip(images, masks, strict=True):
        assert not image[:16].any() and not image[48:].any() and image[16:48].all()
        assert not mask[:16].any() and not mask[48:].any()
        row, column = np.unravel_index(mask.argmax(), mask.shape)
        assert abs(row - 32) < 8 and abs(column - 12) < 8 and mask[16:48, 32:].max() < 64


@pytest.mark.parametrize("transparent", [True, False])
def test_a_mask_may_be_a_png_of_a_jpg_and_contain_class_numbers_or_transparent_pixels(tmp_path, transparent):
    fakes.write_intel(tmp_path / "raw", train=6, test=2, size=16)
    for path in (tmp_path / "raw" / "seg_train").rglob("*.jpg"):
        height, width = decode_file(path, 1).shape[:2]
        mask = np.tile(np.arange(width) >= width // 2, (height, 1)).astype(np.uint8)
        if transparent:  # white everywhere
            mask = np.dstack([np.full((height, width, 3), 255, dtype=np.uint8), 255 * mask])
        fakes.save((tmp_path / "raw-masks" / path.relative_to(tmp_path / "raw")).with_suffix(".png"), mask)
    prepare("intel", prepare_params(tmp_path / "raw", masks="files"), tmp_path / "data")
    masks = np.load(tmp_path / "data" / "masks.npy")
    assert (masks[:, :, 9:] == 255).all() and (masks[:, :, :7] == 0).all()


@pytest.mark.parametrize("source", [".", "train/..", "../raw/"])
def test_the_folder_of_masks_is_found_from_every_form_of_the_source(raw, tmp_path, monkeypatch, source):
    write_masks(raw)
    prepare("folder", prepare_params(raw, masks="files"), tmp_path / "absolute")
    monkeypatch.chdir(raw)
    prepare("folder", prepare_params(source, masks="files"), tmp_path / "relative")
    assert contents(tmp_path / "relative") == contents(tmp_path / "absolute")


def test_the_mask_of_another_image_is_never_used(raw, tmp_path):
    folder, params = write_masks(raw), prepare_params(raw, masks="files", val_fraction=0.1)
    Image.open(raw / "train/a/000.png").save(raw / "train/a/000.jpg", quality=30)
    with pytest.raises(CorruptData, match=r"train/a/000.jpg: the file is missing"):
        prepare("folder", params, tmp_path / "data")
    Image.open(folder / "train/a/000.png").save(folder / "train/a/000.jpg")
    prepare("folder", params, tmp_path / "data")


def test_masks_that_are_missing_broken_or_of_another_size_are_named_and_empty_masks_are_counted(raw, tmp_path):
    params = prepare_params(raw, masks="files", val_fraction=0.1)
    with pytest.raises(DatasetNotFound, match=r"needs the folder .*raw-masks, which does not exist; put one mask per"):
        prepare("folder", params, tmp_path / "data")
    folder = write_masks(raw)
    for path in (folder / "train").rglob("*.png"):
        fakes.save(path, np.zeros_like(np.asarray(Image.open(path))))
    meta = prepare("folder", params, tmp_path / "data")
    assert meta.notes["masks"] == {"kind": "files", "images": 18, "empty": 18}
    assert any(
        "18 training images, 18 of them empty: these crops are not drawn again" in line for line in printed_notes(meta)
    )
    for label in ("a", "b"):
        (folder / "train" / label / "000.png").unlink()
        (folder / "train" / label / "001.png").write_bytes(b"")
        for number in range(2, 10):
            fakes.save(folder / "train" / label / f"{number:03d}.png", np.zeros((9, 7), dtype=np.uint8))
    with pytest.raises(CorruptData) as caught:
        prepare("folder", params, tmp_path / "data")
    lines = str(caught.value).splitlines()
    assert lines[0] == f"masks in {folder} that cannot be used: 18 of 18"
    assert sum("the file is missing" in line or "the file is empty" in line for line in lines) >= 2
    assert any(line.endswith("the mask has 7 x 9 pixels, its image has 24 x 24") for line in lines)
    assert "prepare.masks: saliency, or none" in lines[-1]
