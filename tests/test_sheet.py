"""The augmentation sheet: its content, and equal bytes every time."""

import dataclasses

import matplotlib.image
import numpy as np
import pytest
import torch

from fkt.data.normalize import normalize
from fkt.data.originals import EXAMPLES, examples
from fkt.params import Augment, load_params
from fkt.sheet import as_seen, draw_sheet
from stages.views import main as views_stage
from tests.fakes import write_prepared
from tests.views.pictures import AFFINE, PIPELINES, fake_split, meta


def augment(engine="batched", labelled=(AFFINE,)):
    return Augment(engine=engine, object_share=0.0, good_crops=1.0, views=PIPELINES["SimCLR"], labelled=list(labelled))


def pictures_of(figure):
    """All pictures as rows x columns of arrays."""
    rows = {}
    for axes in figure.axes:
        rows.setdefault(round(axes.get_position(original=True).y0, 4), []).append(
            np.asarray(axes.images[0].get_array())
        )
    return [rows[height] for height in sorted(rows, reverse=True)]


def test_there_is_one_example_per_class_up_to_the_limit():
    assert examples(np.array([2, 0, 0, 2, 1, 1])).tolist() == [1, 4, 0]
    many = np.arange(60) % 20
    assert examples(many).tolist() == list(range(EXAMPLES))
    assert examples(many.clip(min=1)).tolist() == [0, *range(2, EXAMPLES + 1)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("engine", ["batched", "albumentations"])
def test_the_sheet_shows_originals_labelled_views_and_ssl_views(channels, engine):
    split = fake_split(21, channels=channels)
    figure = draw_sheet(split, augment(engine), {})
    rows = pictures_of(figure)
    assert [len(row) for row in rows] == [1 + 2 + 6] * 3
    stored = split.images(torch.arange(3)).permute(0, 2, 3, 1).numpy()
    for row, original in zip(rows, stored, strict=True):
        np.testing.assert_array_equal(row[0].reshape(original.shape), original)
        assert all(not np.array_equal(row[3], other) for other in row[4:])
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == [
        "original",
        *(f"labelled {n}" for n in (1, 2)),
        *(f"view {n}" for n in range(1, 7)),
    ]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["class 0", "class 1", "class 2"]
    title = figure.texts[0].get_text()
    assert "labelled: Affine (0.8)" in title
    assert "RandomResizedCrop, HorizontalFlip (0.5), ColorJitter (0.8), ToGray (0.2)" in title


def test_originals_that_prepare_has_cropped_are_shown_whole_before_the_prepared_images():
    split = fake_split(21)
    wide = np.full((9, 30, 3), 200, dtype=np.uint8)
    figure = draw_sheet(split, augment(), {2: wide, 40: wide})  # the second example is row 2 of images.npy
    rows = pictures_of(figure)
    assert [axes.get_title() for axes in figure.axes if axes.get_title()][:3] == ["original", "prepared", "labelled 1"]
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(row[1], split.images(torch.tensor([number]))[0, 0])
        np.testing.assert_array_equal(row[0], wide if number == 1 else row[1])


def test_without_labelled_steps_the_labelled_columns_show_the_originals():
    figure = draw_sheet(fake_split(21), augment(labelled=()), {})
    for row in pictures_of(figure):
        np.testing.assert_array_equal(row[0], row[1])
    assert "labelled: as they are" in figure.texts[0].get_text()


def test_any_class_name_can_be_drawn(tmp_path):
    split = fake_split(21, channels=1)
    strange = dataclasses.replace(split.meta, classes=["$\\frac$", "\u732b", "$5$"])
    figure = draw_sheet(dataclasses.replace(split, meta=strange), augment(), {})
    figure.savefig(tmp_path / "sheet.png")  # draws the text; a letter that the font lacks would be a warning
    names = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert names == ["$\\frac$", "class 1", "$5$"]


def test_undoing_the_normalization_returns_the_stored_bytes():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    about = dataclasses.replace(meta(16, 3), mean=[0.1, 0.5, 0.7], std=[0.3, 0.01, 0.2])
    seen = as_seen(normalize(images, about.mean, about.std), about)
    np.testing.assert_array_equal(seen, images.permute(0, 2, 3, 1).numpy())


def test_the_stage_writes_the_same_bytes_every_time_from_training_images_only(tmp_path, monkeypatch, capsys):
    params, path = load_params(), tmp_path / "metrics" / "figures" / "views.png"
    monkeypatch.chdir(tmp_path)
    write_prepared(tmp_path / "data" / params.dataset)
    (tmp_path / "data" / params.dataset / "test.npy").unlink()
    written = []
    for _ in range(2):
        views_stage(params)
        written.append(path.read_bytes())
    assert written[0] == written[1]
    height, width = matplotlib.image.imread(path).shape[:2]
    assert width >= 9 * 96 and height >= 3 * 96
    assert "views.png" in capsys.readouterr().out
