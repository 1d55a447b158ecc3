"""The figures: what is in them is read back from the axes; that they look right was judged by eye."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import gmean

from fkt.core.arms import ARMS as ORDER
from fkt.core.arms import PRETRAINED
from fkt.params import load_params
from fkt.report import confusion_figure, figures, fusion, maps_figure
from fkt.report.arms import Arm, read_arms
from fkt.report.drawn_maps import DrawnMaps, read_maps
from fkt.report.run_files import MissingResult
from tests.report.fabricated import fabricate

LONG = ["proliferative diabetic retinopathy", "no sign of disease", "cataract"]
MODES = ["supervised", "representational", "functional"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@pytest.fixture
def arms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Arm]:
    monkeypatch.chdir(folder)
    params = load_params(Path(__file__).parents[2] / "params.yaml").model_copy(
        update={"dataset": "digits", "seeds": [0, 1], "modes": [PRETRAINED, *MODES]}
    )
    if not Path("metrics").exists():
        fabricate(params, names=LONG, num_test=90, channels=3)
    return read_arms("digits", MODES, [0, 1])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, as objects."""
    saved: list[Figure] = []

    def keep(figure: Figure, path: Path, *dpi: int) -> None:
        saved.append(figure)
        save(figure, path, *dpi)

    save = figures.save_figure
    for module in (figures, confusion_figure, maps_figure):
        monkeypatch.setattr(module, "save_figure", keep)
    return saved


def _nothing_is_clipped(figure: Figure) -> None:
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()  # inches
    assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01


def test_accuracy_shows_every_seed_and_the_mean(arms: list[Arm], drawn: list[Figure], tmp_path: Path) -> None:
    figures.draw_accuracy(arms, "digits", tmp_path / "a.png")
    axes = drawn[0].axes[0]
    dots = np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])
    expected = [(100 * result["accuracy"], row) for row, arm in enumerate(arms) for result in arm.results]
    np.testing.assert_allclose(sorted(dots.tolist()), sorted(expected))
    means = [100 * np.mean([result["accuracy"] for result in arm.results]) for arm in arms]
    labels = [text.get_text() for text in axes.texts]
    assert all(f"{mean:.2f}" in label for mean, label in zip(means, labels, strict=True))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == MODES
    _nothing_is_clipped(drawn[0])


def test_curves_show_the_mean_over_seeds_after_what_was_spent(
    arms: list[Arm], drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_curves(arms, "digits", tmp_path / "a.png")
    accuracy = drawn[0].axes[0]
    line = next(line for line in accuracy.lines if line.get_color() == figures.PALETTE["functional"])
    curve = arms[2].curves.groupby("passes")["val_accuracy"].mean()
    np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), 100 * curve.to_numpy())
    finetuned = next(line for line in accuracy.lines if line.get_color() == figures.PALETTE["representational"])
    pretrained = arms[1].curves.query("stage == 'pretrain'")["passes"].max()
    assert np.nanmin(np.asarray(finetuned.get_xdata(), dtype=float)) > pretrained
    assert [axes.get_ylabel() for axes in drawn[0].axes] == [
        *list(figures.PANELS.values())[:4],
        *fusion.PANELS.values(),
    ]
    _nothing_is_clipped(drawn[0])


def test_five_arms_find_room_in_every_figure(
    drawn: list[Figure], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    modes = [PRETRAINED, *ORDER]
    params = load_params(Path(__file__).parents[2] / "params.yaml").model_copy(
        update={"dataset": "digits", "seeds": [0, 1], "modes": modes}
    )
    fabricate(params, names=LONG, num_test=30, channels=3)
    arms = read_arms("digits", list(ORDER), [0, 1])
    figures.draw_accuracy(arms, "digits", tmp_path / "a.png")
    figures.draw_curves(arms, "digits", tmp_path / "b.png")
    confusion_figure.draw_confusion(arms, LONG, "digits", tmp_path / "c.png")
    maps_figure.draw_maps([read_maps(mode) for mode in modes], LONG, 2, "digits", tmp_path / "d.png", seed=0)
    for figure in drawn:
        _nothing_is_clipped(figure)
    assert [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()] == list(ORDER)
    assert [axes.get_ylabel() for axes in drawn[1].axes] == [*figures.PANELS.values(), *fusion.PANELS.values()]
    labels = [text.get_text() for text in drawn[1].legends[0].get_texts()]
    assert labels == [*ORDER, "labels come in"], "one mark, for all arms pretrain as long"
    assert [axes.get_title() for axes in drawn[2].axes if axes.get_title()] == list(ORDER)
    assert len(drawn[3].axes) == 2 * 7 + 1


def test_labels_that_come_in_at_different_times_are_marked_for_each_arm(
    arms: list[Arm], drawn: list[Figure], tmp_path: Path
) -> None:
    late = arms[1].curves.assign(mode="frozen")
    late["passes"] += 10
    figures.draw_curves(
        [Arm(**(vars(arms[1]) | {"mode": "frozen", "curves": late})), arms[1]], "digits", tmp_path / "a.png"
    )
    marks = {line.get_label(): line.get_xdata()[0] for line in drawn[0].axes[0].lines if line.get_linestyle() == ":"}
    early = arms[1].curves.query("stage == 'pretrain'")["passes"].max()
    assert marks == {
        "labels come in, frozen": pytest.approx(early + 10),
        "labels come in, representational": pytest.approx(early),
    }


def test_the_interactive_plots_have_the_colors_of_the_figures() -> None:
    templates = Path(__file__).parents[2] / ".dvc/plots"
    scale = json.loads((templates / "by_mode.json").read_text())["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == figures.PALETTE
    assert tuple(scale["domain"]) == ORDER
    assert json.loads((templates / "confusion_by_mode.json").read_text())["facet"]["column"]["sort"] == list(ORDER)


def test_a_panel_without_numbers_is_left_out(arms: list[Arm], drawn: list[Figure], tmp_path: Path) -> None:
    figures.draw_curves(arms[:1], "digits", tmp_path / "a.png")
    labels = [axes.get_ylabel() for axes in drawn[0].axes]
    assert labels == [label for name, label in figures.PANELS.items() if name not in ("ssl", "pseudo")], "no empty one"


def test_gradients_of_the_two_losses_are_drawn_against_what_is_even(
    arms: list[Arm], drawn: list[Figure], tmp_path: Path
) -> None:
    figures.draw_curves(arms, "digits", tmp_path / "a.png")
    panels = {axes.get_ylabel(): axes for axes in drawn[0].axes}
    centers = {"grad_cosine": (0.0, np.mean), "grad_norm_ratio": (1.0, gmean)}
    for name, (even, center) in centers.items():
        curve, level = panels[fusion.PANELS[name]].lines
        points = arms[2].curves.dropna(subset=[name]).groupby("passes")[name]
        means = [center(values.to_numpy()) for _, values in points]
        np.testing.assert_allclose(np.asarray(curve.get_ydata(), dtype=float), means)
        assert len(means) == 10 and list(level.get_ydata()) == [even, even]
        assert curve.get_color() == figures.PALETTE["functional"]
    weights = panels[fusion.PANELS["weight_ssl"]]
    assert [text.get_text() for text in weights.get_legend().get_texts()] == list(fusion.WEIGHTS.values())
    for line, name in zip(weights.lines, fusion.WEIGHTS, strict=True):
        means = arms[2].curves.groupby("passes")[name].mean()
        np.testing.assert_allclose(np.asarray(line.get_ydata(), dtype=float), means.to_numpy())


def test_weights_that_stay_and_gradients_that_were_never_compared_are_not_drawn(arms: list[Arm]) -> None:
    curves = arms[2].curves.assign(weight_ce=1.0, weight_ssl=0.7)
    assert fusion.panels(curves) == ["grad_cosine", "grad_norm_ratio"]
    assert fusion.panels(curves.drop(columns=["grad_cosine", "grad_norm_ratio"])) == []
    assert fusion.panels(arms[0].curves) == []


def test_confusion_rows_are_shares_of_the_actual_class(arms: list[Arm], drawn: list[Figure], tmp_path: Path) -> None:
    confusion_figure.draw_confusion(arms, LONG, "digits", tmp_path / "a.png")
    for axes, arm in zip(drawn[0].axes, arms, strict=False):
        shares = np.asarray(axes.collections[0].get_array()).reshape(3, 3)
        counts = np.zeros((3, 3))
        for actual, predicted in zip(np.tile(arm.labels, 2), arm.predicted.ravel(), strict=True):
            counts[actual, predicted] += 1
        np.testing.assert_allclose(shares, 100 * counts / counts.sum(axis=1, keepdims=True))
        assert axes.get_title() == arm.mode
    assert [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()][1] == LONG[1]
    _nothing_is_clipped(drawn[0])


def test_many_classes_are_not_named(arms: list[Arm], drawn: list[Figure], tmp_path: Path) -> None:
    wide = []
    for arm in arms:
        matrix = np.eye(100, dtype=int).tolist()
        results = [result | {"confusion": matrix} for result in arm.results]
        wide.append(Arm(**(vars(arm) | {"results": results})))
    confusion_figure.draw_confusion(wide, [str(number) for number in range(100)], "digits", tmp_path / "a.png")
    assert not drawn[0].axes[0].get_yticklabels() and "100" in drawn[0].axes[0].get_ylabel()
    _nothing_is_clipped(drawn[0])


def test_maps_show_each_model_on_the_same_images(arms: list[Arm], drawn: list[Figure], tmp_path: Path) -> None:
    maps = [read_maps(mode) for mode in (PRETRAINED, *MODES)]
    maps_figure.draw_maps(maps, LONG, 4, "digits", tmp_path / "a.png", seed=7)
    rows = maps_figure.choose_rows(maps[1:], 4)
    grid = np.array(drawn[0].axes[:20]).reshape(4, 5)
    for axes_row, row in zip(grid, rows, strict=True):
        assert (np.asarray(axes_row[0].images[0].get_array()) == maps[0].images[row]).all()
        assert axes_row[0].get_ylabel().replace("\n", " ") == LONG[maps[0].labels[row]]
        for axes, model in zip(axes_row[1:], maps, strict=True):
            np.testing.assert_array_equal(np.asarray(axes.images[1].get_array()), model.maps[row])
        caption = axes_row[4].get_xlabel().replace("\n", " ")
        assert maps[3].predicted is not None and maps[3].confidence is not None
        mark = "\u2713" if maps[3].predicted[row] == maps[3].labels[row] else "\u2717"
        assert caption == f"{mark} {LONG[maps[3].predicted[row]]}, {100 * maps[3].confidence[row]:.0f} %"
    assert "in the models of seed 7 alone" in drawn[0].get_suptitle().replace("\n", " ")
    _nothing_is_clipped(drawn[0])


def test_a_single_model_has_room_for_the_title(arms: list[Arm], drawn: list[Figure], tmp_path: Path) -> None:
    maps_figure.draw_maps([read_maps("functional")], LONG, 2, "digits", tmp_path / "a.png", seed=0)
    _nothing_is_clipped(drawn[0])


def _maps(labels: list[int], predicted: list[int], mode: str = "supervised") -> DrawnMaps:
    count = len(labels)
    blank = np.zeros((count, 8, 8), dtype=np.float32)
    images = np.zeros((count, 8, 8, 1), dtype=np.uint8)
    truth, guesses = np.array(labels), np.array(predicted)
    confidence = np.ones(count, dtype=np.float32)
    return DrawnMaps(mode, "cam", "layer4", 8, "predicted", np.arange(count), images, truth, blank, guesses, confidence)


def test_the_images_shown_hold_hits_and_misses_and_differences() -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    first = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 0, 0]
    other = [0, 0, 0, 0, 1, 1, 1, 1, 2, 0, 2, 0]
    rows = maps_figure.choose_rows([_maps(labels, first), _maps(labels, other)], 4)
    assert {9, 10} & set(rows) and 11 in rows  # they differ; both miss
    assert any(row < 8 for row in rows)  # both right, and of another class than those
    assert rows == maps_figure.choose_rows([_maps(labels, first), _maps(labels, other)], 4)
    assert len(maps_figure.choose_rows([_maps(labels, labels)], 99)) == 12  # no misses, few candidates


def test_maps_of_different_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingResult, match="different images"):
        maps_figure.draw_maps(
            [_maps([0, 1], [0, 1]), _maps([0, 1, 1], [0, 1, 0], "functional")],
            LONG,
            2,
            "digits",
            tmp_path / "a.png",
            seed=0,
        )


def test_figures_carry_no_software_version_and_leave_matplotlib_alone(arms: list[Arm], tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figures.draw_accuracy(arms, "digits", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert "Software" not in image.info
    assert dict(mpl.rcParams) == before
