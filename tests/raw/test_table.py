"""Labels from a table, names of classes, and validation images as the test set."""

import numpy as np
import pytest
from PIL import Image

from fkt.core.errors import CorruptData, DatasetNotFound, ParamsError
from fkt.raw.notes import data_card
from fkt.raw.prepare import prepare
from tests import fakes
from tests.fakes import counted, prepare_params, read


@pytest.fixture
def source(tmp_path):
    """Twelve images whose folders say nothing about their class."""
    for number in range(12):
        image = fakes.class_image(number % 2, np.random.default_rng(number))
        fakes.save(tmp_path / "raw" / f"shoot {number // 6}" / f"image,{number}.png", image)
    return tmp_path / "raw"


def lines(separator=",", **columns):
    """Return the text of a table of the twelve images: class x for even numbers, and more columns."""
    rows = [["path", "label", *columns]]
    for number in range(12):
        path = f'"shoot {number // 6}/image,{number}.png"'
        rows.append([path, "yx"[number % 2 == 0], *(str(cells[number]) for cells in columns.values())])
    return "\n".join(separator.join(row) for row in rows)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_table_gives_labels_splits_and_columns(source, separator, encoding, inside):
    splits = ["train"] * 6 + ["Val"] * 2 + ["testing"] * 4
    table = (source if inside else source.parent) / "labels.csv"
    table.write_text(lines(separator, split=splits, eye=range(12)), encoding=encoding)
    fakes.save(source / "not listed.png", np.zeros((4, 4, 3), np.uint8))
    raw = read("folder", source, table="labels.csv" if inside else str(table))
    assert raw.classes == ["x", "y"] and counted(raw) == {"train": [3, 3], "val": [1, 1], "test": [2, 2]}
    for position, name in enumerate(raw.names):
        number = int(name.split(",")[1].removesuffix(".png"))
        assert raw.labels[position] == number % 2 and raw.columns["eye"][position] == str(number)
        np.testing.assert_array_equal(raw.load(position, 3), np.asarray(Image.open(source / name)))
    assert raw.notes["ignored_files"]["kinds"] == {".png": (1, "not listed.png")}
    assert raw.origins["val"] == "from the column split of labels.csv"


def test_an_id_without_folder_or_suffix_leads_to_its_image_and_whole_numbers_are_in_order(source):
    table = source / "labels.csv"
    table.write_text('path,label\n"image,3",10\n"image,4.png",9\n"shoot 1/image,7",100\n')
    raw = read("folder", source, table="labels.csv")
    assert raw.classes == ["9", "10", "100"]
    assert {name: raw.classes[label] for name, label in zip(raw.names, raw.labels, strict=True)} == {
        "shoot 0/image,3.png": "10",
        "shoot 0/image,4.png": "9",
        "shoot 1/image,7.png": "100",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\na,b\n", "first line must contain path and label, but it is 'image,label'"),
        ("path,label,label\na,b,c\n", "two columns named 'label'"),
        ("path,label\n", "lists no images"),
        ('path,label\n"image,1",x\n', "has one label, 'x'; at least two classes"),
        ("path,label\na.png\n", "line 2: 1 cells, but 2 columns"),
        ('path,label\n"image,1",x\nb.png,y\n', r"1 of 2 lines cannot be used\n +line 3: b.png: there is no such file"),
        ('path,label\n"image,1",\n', "line 2: image,1: the label is empty"),
        ("path,label\n../list.csv,x\n", "line 2: ../list.csv: the path is outside of "),
        ('path;label;split\n"image,1";x;dev\n', "unknown split 'dev'; write train, val or test"),
        (
            'path,label\n"image,1",x\n"shoot 0/image,1.png",y\n',
            "line 3: shoot 0/image,1.png: its label is 'y', but 'x' in line 2",
        ),
        ("path,label\ntwin,x\n", "2 images have this name, such as shoot 0/twin.png and shoot 1/twin.png; write"),
        ("path,label\n\xfc,x\n", "is not UTF-8"),
    ],
)
def test_a_mistake_in_a_table_is_named_with_its_line(source, text, message):
    for number in (0, 1):
        fakes.save(source / f"shoot {number}" / "twin.png", np.full((4, 4, 3), number, np.uint8))
    (source / "list.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorruptData, match=message):
        read("folder", source, table="list.csv")


def test_a_missing_table_is_refused(source):
    with pytest.raises(DatasetNotFound, match="absent.csv cannot be read .*; correct its path"):
        read("folder", source, table="absent.csv")


def test_classes_have_the_names_of_classes_csv(tmp_path):
    fakes.write_folder(tmp_path, ("n01", "n02", "n03"), 2)
    names = tmp_path / "classes.csv"
    names.write_text('class;name\nn02;"gr\xfcn; $5"\nn01;tench\n', encoding="utf-8")
    raw = read("folder", tmp_path)
    assert raw.classes == ["tench", "gr\xfcn; $5", "n03"] and "ignored_files" not in raw.notes
    for text, message in (
        ("n1,a", "line 2: there is no class 'n1'; did you mean 'n01'?"),
        ("n01,a\nn01,b", "line 3: the class 'n01' is listed twice"),
        ("n01,a\nn02,a", "more than one class would be named 'a'"),
        ("n01,n03", "more than one class would be named 'n03'"),
        ("n01,", "line 2: the name of class 'n01' is empty"),
    ):
        names.write_text(f"class,name\n{text}\n")
        with pytest.raises(CorruptData, match=message.replace("?", "[?]")):
            read("folder", tmp_path)


def test_validation_images_become_the_test_set_only_if_there_is_none(tmp_path):
    raw = tmp_path / "raw"
    fakes.write_folder(raw, ("a", "b"), {"train": 10, "val": 3})
    card = dict(data_card(prepare("folder", prepare_params(raw), tmp_path / "data")))
    assert card["Validation images"] == "6, from the folder val"
    assert card["Test images"] == (
        "4, 20 % of the training images of each class, drawn at random (prepare.test_fraction), because the source has "
        "no test images; to test on its validation images instead, set prepare.val_as_test: true"
    )
    meta = prepare("folder", prepare_params(raw, val_as_test=True), tmp_path / "data")
    assert meta.counts == {"train": [8, 8], "val": [2, 2], "test": [3, 3]}
    card = dict(data_card(meta))
    assert card["Test images"] == "6, from the folder val (prepare.val_as_test: true)"
    assert card["Validation images"].startswith("4, 20 % of the training images of each class, drawn at random")
    for part, problem in (("test", "has test images"), (None, "has no validation images")):
        fakes.write_folder(tmp_path / str(part), ("a", "b"), {"train": 3, **({part: 1, "val": 1} if part else {})})
        with pytest.raises(ParamsError, match=f"val_as_test: true, but the source {problem}; set it to false"):
            prepare("folder", prepare_params(tmp_path / str(part), val_as_test=True), tmp_path / "data")
