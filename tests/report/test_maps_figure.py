"""The figure of activation maps, read back from its axes; its look was judged by eye."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from fkt.core.arms import ARMS, PRETRAINED
from fkt.core.fonts import drawable
from fkt.report import maps_figure
from fkt.report.arms import Maps, MissingResult, Results


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved. No text is clipped in any of them."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, path: Path, **options: object) -> None:
        save(figure, path, **options)
        saved.append(figure)
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()  # inches
        assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_maps_show_every_model_on_the_same_images(results: Results, drawn: list[Figure], tmp_path: Path) -> None:
    maps, classes = results.maps, results.meta.classes
    assert [model.mode for model in maps] == [PRETRAINED, *ARMS]
    maps_figure.draw_maps(maps, classes, 4, "digits", tmp_path / "a.png", seed=7)
    columns = 1 + len(maps)
    grid = np.array(drawn[0].axes[: 4 * columns]).reshape(4, columns)
    functional = maps[-1]
    assert functional.predicted is not None and functional.confidence is not None
    for axes_row, row in zip(grid, maps_figure.choose_rows(maps[1:], 4), strict=True):
        assert (np.asarray(axes_row[0].images[0].get_array()) == maps[0].images[row]).all()
        assert axes_row[0].get_ylabel().split() == classes[maps[0].labels[row]].split()
        for axes, model in zip(axes_row[1:], maps, strict=True):
            np.testing.assert_array_equal(np.asarray(axes.images[1].get_array()), model.maps[row])
        predicted = functional.predicted[row]
        mark = "\u2713" if predicted == functional.labels[row] else "\u2717"
        caption = f"{mark} {classes[predicted]}, {100 * functional.confidence[row]:.0f} %"
        assert axes_row[-1].get_xlabel().split() == caption.split()
        assert axes_row[1].get_xlabel() == "no classifier"
    assert "models of seed 7 only" in drawn[0].get_suptitle().replace("\n", " ")
    maps_figure.draw_maps(maps[-1:], classes, 2, "digits", tmp_path / "b.png", seed=0)  # the title has room


def _maps(labels: list[int], predicted: list[int], mode: str = "supervised") -> Maps:
    count = len(labels)
    return Maps(
        mode=mode,
        method="cam",
        layer="layer4",
        side=8,
        ids=np.arange(count),
        images=np.zeros((count, 8, 8, 1), dtype=np.uint8),
        labels=np.array(labels),
        maps=np.zeros((count, 8, 8), dtype=np.float32),
        target="predicted",
        predicted=np.array(predicted),
        confidence=np.ones(count, dtype=np.float32),
    )


def test_the_chosen_images_have_right_wrong_and_different_predictions() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    first = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 0, 0]
    other = [0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 2, 0]
    rows = maps_figure.choose_rows([_maps(labels, first), _maps(labels, other)], 4)
    assert {9, 10} & set(rows) and 11 in rows  # they differ; both are wrong
    assert any(row < 8 for row in rows)  # both are right, and the class is another one
    assert rows == maps_figure.choose_rows([_maps(labels, first), _maps(labels, other)], 4)
    assert len(maps_figure.choose_rows([_maps(labels, labels)], 99)) == 12  # all right, few candidates


def test_maps_of_different_images_are_refused(tmp_path: Path) -> None:
    different = [_maps([0, 1], [0, 1]), _maps([0, 1, 1], [0, 1, 0], "functional")]
    with pytest.raises(MissingResult, match="functional and supervised show different images"):
        maps_figure.draw_maps(different, ["a", "b"], 2, "digits", tmp_path / "a.png", seed=0)


def test_names_that_the_font_lacks_are_numbers() -> None:
    names = ["cat", "\u732b \u72ac", "\u00e9t\u00e9 $5$"]
    assert drawable(names) == ["cat", "class 1", names[2]]
