"""What prepare keeps besides the arrays: names that lead to files, a few originals, the notes of the data card."""

import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from albumentations import CenterCrop, Compose, SmallestMaxSize
from PIL import Image

from fkt.core.errors import plural
from fkt.data.meta import load_meta, load_names
from fkt.data.originals import EXAMPLES, LONGEST_SIDE, load_originals
from fkt.raw import source, trees
from fkt.raw.notes import FINDINGS, data_card, printed_notes
from fkt.raw.prepare import prepare
from tests import fakes
from tests.fakes import prepare_params

ODD_NAMES = [b"gr\xc3\xbc\xc3\x9fe \xe7\x8c\xab.png", b"two\nlines\x1b[31m.png", b'=1+1,"a".png']
if sys.platform == "linux":
    ODD_NAMES.append(b"not utf-8 \xff.png")
SQUARE = Compose([SmallestMaxSize(16, area_for_downscale="image", p=1.0), CenterCrop(16, 16, p=1.0)])


def test_every_name_leads_to_the_file_of_its_row_also_odd_names_and_after_files_were_left_out(tmp_path):
    raw = tmp_path / "raw"
    fakes.write_folder(raw, ("a", "b"), {"train": 20, "test": 4})
    for number, name in enumerate(ODD_NAMES):
        image = fakes.class_image(1, np.random.default_rng(number), 40)
        Image.fromarray(image).save(os.fsdecode(bytes(raw / "train" / "b") + b"/" + name), format="png")
    fakes.write_broken_files(raw / "train" / "a")
    shutil.copy(raw / "test/b/001.png", raw / "train/a/0000 copy of a test image.png")
    params = prepare_params(raw, on_corrupt="skip", limit_per_class=23)
    meta = prepare("folder", params, tmp_path / "data")
    assert meta.notes["skipped"] and meta.notes["duplicates"]["dropped"]
    names, images = load_names(tmp_path / "data"), np.load(tmp_path / "data" / "images.npy")
    assert len(names) == len(set(names)) == len(images)
    assert sum(os.fsencode(Path(name).name) in ODD_NAMES for name in names) >= len(ODD_NAMES) - 1, "23 of 24 are used"
    for name, image, label in zip(names, images, np.load(tmp_path / "data" / "labels.npy"), strict=True):
        np.testing.assert_array_equal(SQUARE(image=np.asarray(Image.open(raw / name)))["image"], image)
        assert Path(name).parent.name == meta.classes[label]


@pytest.mark.parametrize("channels", [1, 3])
def test_originals_are_those_of_the_first_training_images_uncropped_in_color_and_small(tmp_path, channels):
    raw = tmp_path / "raw"
    for label in range(EXAMPLES + 1):
        height, width = {2: (16, 16), 3: (16, 16)}.get(label, (200, 400 - 40 * label))
        for number in range(5):
            image = fakes.class_image(label, np.random.default_rng([label, number]), height, width)
            # Nothing is cut away from the images of classes 2 and 3, but those of 3 have color.
            fakes.save(raw / f"c{label}" / f"{number}.png", image[..., 0] if label == 2 else image)
    prepare("folder", prepare_params(raw, channels=channels), tmp_path / "data")
    train, labels = (np.load(tmp_path / "data" / f"{name}.npy") for name in ("train", "labels"))
    names, originals = load_names(tmp_path / "data"), load_originals(tmp_path / "data")
    first = {label: next(int(row) for row in train if labels[row] == label) for label in range(EXAMPLES)}
    shown = set(range(EXAMPLES)) - {2} - ({3} if channels == 3 else set())
    assert set(originals) == {first[label] for label in shown}
    for row, original in originals.items():
        whole = np.asarray(Image.open(raw / names[row]))
        scale = min(1, LONGEST_SIDE / max(whole.shape[:2]))
        size = tuple(round(side * scale) for side in whole.shape[1::-1])
        np.testing.assert_array_equal(original, cv2.resize(whole, size, interpolation=cv2.INTER_AREA))


def test_originals_of_fundus_photographs_have_their_border(tmp_path):
    fakes.write_aptos(tmp_path / "raw", size=60)
    meta = prepare("aptos", prepare_params(tmp_path / "raw"), tmp_path / "data")
    assert "cut borders: the black border around the eye was removed from 50 of 50 images" in printed_notes(meta)
    names, originals = load_names(tmp_path / "data"), load_originals(tmp_path / "data")
    assert len(originals) == 5
    for row, original in originals.items():
        np.testing.assert_array_equal(original, Image.open(tmp_path / "raw" / names[row]))


def test_the_data_card_says_where_images_come_from_and_what_was_done_to_them(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    fakes.write_folder(raw, ("a", "b"), {"train": 10, "Testing": 5}, size=24)  # 24, 28 and 32 wide: at most 1/4 is cut
    fakes.save(raw / "train/a/wide.png", fakes.class_image(0, np.random.default_rng(0), 30, 41))
    fakes.save(raw / "train/a/tiny.png", fakes.class_image(0, np.random.default_rng(1), 12, 15))
    Image.open(raw / "train/a/wide.png").convert("L").save(raw / "train/a/gray.png")
    shutil.copy(raw / "train/a/000.png", raw / "train/b/same.png")
    shutil.copy(raw / "Testing/b/000.png", raw / "train/a/leak.png")
    for number in range(10):
        (raw / "train" / "b" / f"IMG_{number}.HEIC").write_bytes(b"x")
    (raw / "train" / "b" / ".DS_Store").write_bytes(b"x")
    monkeypatch.setattr(trees, "image_suffixes", lambda: source.image_suffixes() - source.HEIC_SUFFIXES)
    prepare("folder", prepare_params(raw, channels=1), tmp_path / "data")
    card = data_card(load_meta(tmp_path / "data"))
    assert [title for title, _ in card[-len(FINDINGS) :]] == [title.capitalize() for title in FINDINGS]
    assert {title: text for title, text in card if text != "none"} == {
        "Dataset": "folder: 34 images, 2 classes",
        "Training images": "20 of 25, from the folder train",
        "Validation images": "4, 20 % of the training images of each class, drawn at random (prepare.val_fraction)",
        "Test images": "10, from the folder Testing",
        "Raw pixels": "shorter side 12 to 30, longer side 15 to 41; color in 33 of 34 images",
        "Prepared pixels": "16 x 16, grayscale; the shorter side was resized to 16, then the center was cut out",
        "Cropped images": "2 of 34 lost more than a quarter of their area, because only the center square is kept; "
        "prepare.fit: pad keeps the whole image",
        "Enlarged images": "1 of 34: a side is under 16 pixels",
        "Color removed": "from 33 of 34 images (prepare.channels: 1)",
        "Ignored files": "11 (not an image format that is read, or not in a class folder): "
        "10 .heic (train/b/IMG_0.HEIC), 1 hidden (train/b/.DS_Store); "
        "'pip install pillow-heif' makes .heic photographs readable",
        "Identical images": "6 in 3 groups, each in one split",
        "Copies across splits": "1 left out, because a copy is in the test or validation set of the source; "
        "train/a/leak.png",
        "Conflicting labels": "2 groups of identical images, 1 of them across splits of the source; "
        "train/a/000.png (a), train/b/same.png (b); Testing/b/000.png (b), train/a/leak.png (a)",
    }
    for fit, done, title, effect in (
        ("pad", "the longer side was resized to 16, and the rest of the square is black", "Padded images", "are black"),
        ("stretch", "both sides were resized to 16", "Stretched images", "had one side more than a third longer"),
    ):
        prepare("folder", prepare_params(raw, channels=1, fit=fit), tmp_path / "data")
        other = dict(data_card(load_meta(tmp_path / "data")))
        assert other["Prepared pixels"] == f"16 x 16, grayscale; {done}"
        assert other[title].startswith(f"2 of 34 {effect}") and "Cropped images" not in other
    assert [plural(1, "file"), plural(1200, "class", "classes")] == ["1 file", "1,200 classes"]
