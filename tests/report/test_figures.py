"""The content of the figures, read back from their axes; their look was judged by eye."""

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import gmean

from fkt.core.arms import ARMS, PALETTE, PRETRAINED
from fkt.report import figures, maps_figure
from fkt.report.arms import Maps, MissingResult, Results
from fkt.report.summary import confusion_rows, curve_rows


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved. No text is clipped in any of them."""
    saved: list[Figure] = []

    def keep(figure: Figure, path: Path, *dpi: int) -> None:
        save(figure, path, *dpi)
        saved.append(figure)
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()  # inches
        assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01

    save = figures.save_figure
    for module in (figures, maps_figure):
        monkeypatch.setattr(module, "save_figure", keep)
    return saved


@pytest.fixture
def curves(results: Results) -> pd.DataFrame:
    return curve_rows(results.arms)


def _ydata(line: mpl.lines.Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), dtype=float)


def test_accuracy_shows_every_seed_and_the_mean(results: Results, drawn: list[Figure], tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figures.draw_accuracy(results.arms, "digits", tmp_path / "a.png")
    axes = drawn[0].axes[0]
    dots = np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])
    expected = [(100 * result["accuracy"], row) for row, arm in enumerate(results.arms) for result in arm.results]
    np.testing.assert_allclose(sorted(dots.tolist()), sorted(expected))
    for text, arm in zip(axes.texts, results.arms, strict=True):
        assert f"{100 * np.mean([result['accuracy'] for result in arm.results]):.2f}" in text.get_text()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(ARMS)
    assert dict(mpl.rcParams) == before, "the style is not left on"
    with Image.open(tmp_path / "a.png") as image:
        assert "Software" not in image.info


def test_curves_show_the_mean_over_seeds(curves: pd.DataFrame, drawn: list[Figure], tmp_path: Path) -> None:
    figures.draw_curves(curves, "digits", tmp_path / "a.png")
    assert [axes.get_ylabel() for axes in drawn[0].axes] == list(figures.PANELS.values())
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == [*ARMS, "training on labels starts"]
    accuracy = drawn[0].axes[0]
    for arm in ARMS:
        (line,) = (line for line in accuracy.lines if line.get_color() == PALETTE[arm])
        points = curves[curves["mode"] == arm].dropna(subset=["val_accuracy"]).groupby("passes")["val_accuracy"].mean()
        np.testing.assert_allclose(np.asarray(line.get_xdata(), dtype=float), points.index)
        np.testing.assert_allclose(_ydata(line), 100 * points.to_numpy())
    (mark,) = (line for line in accuracy.lines if line.get_linestyle() == ":")
    assert mark.get_xdata()[0] == curves[curves["stage"] == "pretrain"]["passes"].max()


def test_different_ends_of_pretraining_are_marked_for_each_arm(
    curves: pd.DataFrame, drawn: list[Figure], tmp_path: Path
) -> None:
    two = curves[curves["mode"].isin(["frozen", "representational"])].copy()
    two.loc[two["mode"] == "frozen", "passes"] += 10
    figures.draw_curves(two, "digits", tmp_path / "a.png")
    end = curves[curves["stage"] == "pretrain"]["passes"].max()
    marks = {line.get_color(): line.get_xdata()[0] for line in drawn[0].axes[0].lines if line.get_linestyle() == ":"}
    assert marks == {PALETTE["frozen"]: pytest.approx(end + 10), PALETTE["representational"]: pytest.approx(end)}
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels[2:] == ["training on labels starts, frozen", "training on labels starts, representational"]


def test_panels_without_numbers_and_constant_weights_are_left_out(
    curves: pd.DataFrame, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_curves(curves[curves["mode"] == "supervised"], "digits", tmp_path / "a.png")
    assert [axes.get_ylabel() for axes in drawn[0].axes] == [
        figures.PANELS[name] for name in ("val_accuracy", "val_loss", "ce")
    ]
    joint = curves[curves["mode"] == "functional"].assign(weight_ce=1.0, weight_ssl=0.7)
    figures.draw_curves(joint[joint["seed"] == 0], "digits", tmp_path / "b.png")
    labels = [axes.get_ylabel() for axes in drawn[1].axes]
    assert figures.PANELS["weight_ssl"] not in labels and figures.PANELS["grad_cosine"] in labels
    assert drawn[1].get_suptitle() == "digits\none seed, so no standard deviation"


def test_the_losses_of_the_joint_run_are_drawn_with_their_neutral_values(
    curves: pd.DataFrame, drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_curves(curves, "digits", tmp_path / "a.png")
    panels = {axes.get_ylabel(): axes for axes in drawn[0].axes}
    joint = curves[curves["mode"] == "functional"]
    for name, neutral, center in (("grad_cosine", 0.0, np.mean), ("grad_norm_ratio", 1.0, gmean)):
        curve, level = panels[figures.PANELS[name]].lines
        points = joint.dropna(subset=[name]).groupby("passes")[name]
        means = [center(values.to_numpy()) for _, values in points]
        np.testing.assert_allclose(_ydata(curve), means)
        assert len(means) == 10 and list(level.get_ydata()) == [neutral, neutral]
        assert curve.get_color() == PALETTE["functional"]
    weights = panels[figures.PANELS["weight_ssl"]]
    assert [text.get_text() for text in weights.get_legend().get_texts()] == ["self-supervised", "cross-entropy"]
    for line, name in zip(weights.lines, ("weight_ssl", "weight_ce"), strict=True):
        np.testing.assert_allclose(_ydata(line), joint.groupby("passes")[name].mean().to_numpy())


def test_confusion_rows_are_shares_of_the_actual_class(results: Results, drawn: list[Figure], tmp_path: Path) -> None:
    classes = results.meta["classes"]
    figures.draw_confusion(confusion_rows(results.arms, classes), classes, 2, "digits", tmp_path / "a.png")
    for axes, arm in zip(drawn[0].axes, results.arms, strict=False):
        counts = np.zeros((4, 4))
        for actual, predicted in zip(np.tile(arm.labels, 2), arm.predicted.ravel(), strict=True):
            counts[actual, predicted] += 1
        shares = np.asarray(axes.collections[0].get_array()).reshape(4, 4)
        np.testing.assert_allclose(shares, 100 * counts / counts.sum(axis=1, keepdims=True), atol=1e-3)
        assert axes.get_title() == arm.mode
    names = [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()]
    assert names == ["proliferative diabeti...", *classes[1:]]


def test_many_classes_are_not_named(results: Results, drawn: list[Figure], tmp_path: Path) -> None:
    diagonal = [{"confusion": np.eye(100, dtype=int).tolist()}]
    names = [str(number) for number in range(100)]
    cells = confusion_rows([replace(arm, results=diagonal) for arm in results.arms], names)
    figures.draw_confusion(cells, names, 1, "digits", tmp_path / "a.png")
    first = drawn[0].axes[0]
    assert not first.get_yticklabels() and "100, named in metrics/confusion.csv" in first.get_ylabel()
    np.testing.assert_array_equal(np.asarray(first.collections[0].get_array()).reshape(100, 100), 100 * np.eye(100))


def test_maps_show_every_model_on_the_same_images(results: Results, drawn: list[Figure], tmp_path: Path) -> None:
    maps, classes = results.maps, results.meta["classes"]
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
