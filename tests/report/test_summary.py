"""The summary and the CSV files against numbers computed independently from the fabricated files."""

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fkt.core.arms import ARMS, NETWORKS, PRETRAINED
from fkt.core.runs import Run, transfer_path
from fkt.params import Params, Transfer
from fkt.report.arms import Results
from fkt.report.summary import Spread, compare_arms, confusion_rows, cost, curve_rows, spread
from stages.report import main
from tests.report.fabricated import results_of


def _summary() -> dict[str, dict[str, float]]:
    return json.loads(Path("metrics/summary.json").read_text())


@pytest.mark.usefixtures("numbers_only")
def test_the_summary_has_two_levels_of_numbers(params: Params) -> None:
    main(params)
    summary = _summary()
    assert all(type(value) in (int, float) for section in summary.values() for value in section.values())
    for mode in params.arms:
        for name, source in (("accuracy", "accuracy"), ("precision", "macro_precision"), ("recall", "macro_recall")):
            values = [result[source] for result in results_of(mode)]
            assert summary[mode][name] == pytest.approx(statistics.mean(values), abs=1e-5)
            assert summary[mode][f"{name}_std"] == pytest.approx(statistics.stdev(values), abs=1e-5)
        assert summary[mode]["seeds"] == 3
    gap = summary["functional"]["accuracy"] - summary["representational"]["accuracy"]
    difference = summary["functional_minus_representational"]
    assert difference["difference"] == pytest.approx(gap, abs=2e-5)
    assert difference["low"] < difference["difference"] < difference["high"]
    assert 0 < difference["p"] <= 1 and {"std_seeds", "std_images", "std_rest"} < set(difference)
    assert {"functional_minus_supervised", "representational_minus_supervised"} < set(summary)
    assert summary[PRETRAINED]["knn_accuracy"] == pytest.approx(0.62)


@pytest.mark.usefixtures("numbers_only")
def test_validation_accuracy_is_that_of_the_kept_step_and_is_not_rounded(params: Params) -> None:
    main(params)
    validation = json.loads(Path("metrics/validation.json").read_text())["val"]
    assert list(validation) == params.arms
    for mode in params.arms:
        values = []
        for seed in params.seeds:
            log = Run("digits", mode, seed).log
            kept = json.loads((log / "cost.json").read_text())["kept_step"]
            assert kept == (150 if seed == 1 else 200)
            with (log / "curve.csv").open(newline="") as file:
                values += [float(row["val_accuracy"]) for row in csv.DictReader(file) if float(row["step"]) == kept]
        assert validation[mode] == pytest.approx(sum(values) / 3, abs=1e-15)
        assert len(str(validation[mode])) > len("0.12345")
        assert _summary()[mode]["val_accuracy"] == pytest.approx(validation[mode], abs=1e-5)
        assert _summary()[mode]["val_accuracy_std"] == pytest.approx(statistics.stdev(values), abs=1e-5)


@pytest.mark.usefixtures("numbers_only")
def test_dvc_shows_the_score_of_each_arm_and_the_declared_differences(params: Params) -> None:
    main(params.model_copy(update={"report": params.report.model_copy(update={"metric": "macro_f1"})}))
    shown, summary = json.loads(Path("metrics/test.json").read_text()), _summary()
    assert shown.pop("test") == {mode: summary[mode]["f1"] for mode in params.arms}
    pairs = [contrast.replace(" - ", "_minus_") for contrast in params.report.contrasts]
    assert shown == {pair: summary[pair]["difference"] for pair in pairs}


@pytest.mark.usefixtures("numbers_only")
def test_each_other_dataset_of_params_is_a_section_with_probe_scores(params: Params) -> None:
    for dataset, base in (("usps", 0.5), ("svhn", 0.3), ("mnist", 0.1)):
        for seed in params.seeds:
            path = transfer_path(dataset, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"knn_accuracy": base + 0.01 * seed, "linear_accuracy": 0.9, "num_test": 5}))
    main(params.model_copy(update={"transfer": Transfer(datasets=["usps", "svhn"])}))
    summary = _summary()
    assert summary["transfer_usps"] == {
        "knn_accuracy": 0.51, "knn_accuracy_std": 0.01, "linear_accuracy": 0.9, "linear_accuracy_std": 0.0, "seeds": 3,
    }  # fmt: skip
    assert "transfer_svhn" in summary and "transfer_mnist" not in summary
    assert not transfer_path("mnist", 0).exists(), "files of other datasets are removed"
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    assert "| usps    | 51.00 \u00b1 1.00 |" in page and "| svhn    | 31.00 \u00b1 1.00 |" in page


@pytest.mark.usefixtures("numbers_only")
def test_the_cost_of_every_training_run_is_a_row(params: Params) -> None:
    main(params)
    rows = pd.read_csv("metrics/costs.csv")
    assert rows.groupby("mode")["stage"].unique().map(sorted).to_dict() == {
        "functional": ["joint"],
        "pretrained": ["pretrain"],
        "representational": ["finetune", "pretrain"],
        "supervised": ["supervised"],
    }
    assert len(rows) == 3 * 5
    names = {network.stage: network.name for network in NETWORKS.values()}
    for row in rows.itertuples():
        written = json.loads((Run("digits", names[row.stage], row.seed).log / "cost.json").read_text())
        assert (row.steps, row.image_passes) == (written["steps"], written["image_passes"])
        assert row.gflops == pytest.approx(written["flops"] / 1e9, abs=1e-5)
        assert (row.epochs, row.seconds) == pytest.approx((written["epochs"], written["seconds"]), abs=1e-5)


def test_the_cost_of_an_arm_includes_all_of_its_stages(all_params: Params, results: Results) -> None:
    passes = 800 * all_params.budget.passes
    for arm in results.arms:
        assert cost(arm).image_passes == pytest.approx(passes, abs=2)
        curves = arm.curves
        assert curves.groupby("seed")["passes"].max().round(3).eq(all_params.budget.passes).all()
        parts = [curves[curves["stage"] == stage]["passes"] for stage, _, _ in cost(arm).stages]
        assert all(before.max() < after.min() for before, after in zip(parts, parts[1:], strict=False))
    spent = cost(next(arm for arm in results.arms if arm.mode == "distilled"))
    assert spent.flops == pytest.approx(passes / 3 * (6e7 + 2 * 2.5e7), rel=1e-4)
    assert [(name, flops) for name, _, flops in spent.stages] == [
        ("pretrain-teacher", pytest.approx(passes / 3 * 6e7, rel=1e-4)),
        ("distill", pytest.approx(passes / 3 * 2.5e7, rel=1e-4)),
        ("finetune-distilled", pytest.approx(passes / 3 * 2.5e7, rel=1e-4)),
    ]


@pytest.mark.usefixtures("numbers_only")
def test_the_summary_does_not_change_with_hardware_and_time(params: Params) -> None:
    main(params)
    first = Path("metrics/summary.json").read_bytes()
    assert "Trained on AMD EPYC 9B14, bfloat16, 2 threads." in Path("metrics/report.md").read_text(encoding="utf-8")
    for mode in ("supervised", "functional"):
        path = Run("digits", mode, 1).log / "cost.json"
        written = json.loads(path.read_text())
        path.write_text(json.dumps(written | {"seconds": 999.0, "images_per_second": 1.0, "device": "another"}))
    main(params)
    assert Path("metrics/summary.json").read_bytes() == first
    assert "different hardware" in Path("metrics/report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("numbers_only")
def test_seeds_and_modes_that_are_not_in_params_are_left_out(params: Params) -> None:
    main(params.model_copy(update={"seeds": [0, 2], "modes": ["supervised", "functional"]}))
    summary = _summary()
    assert set(summary) == {"supervised", "functional", "untrained", "functional_minus_supervised"}
    first, _, third = (result["accuracy"] for result in results_of("supervised"))
    assert summary["supervised"]["accuracy"] == pytest.approx((first + third) / 2, abs=1e-5)


def test_declared_contrasts_share_a_level_and_all_other_pairs_are_exploratory(
    all_params: Params, results: Results
) -> None:
    report = all_params.report.model_copy(update={"contrasts": ["supervised - frozen", "functional - supervised"]})
    primary, others = compare_arms(results.arms, report)
    assert [(pair.name_a, pair.name_b) for pair in primary] == report.pairs
    found = {(pair.name_a, pair.name_b) for pair in others}
    assert found == {(a, b) for n, a in enumerate(ARMS) for b in ARMS[:n]} - {("frozen", "supervised"), report.pairs[1]}
    alone, _ = compare_arms(results.arms, report.model_copy(update={"contrasts": ["functional - supervised"]}))
    assert alone[0].high < primary[1].high and alone[0].difference == primary[1].difference
    assert compare_arms(results.arms[:1], report) == ([], [])
    for metric in ("macro_f1", "balanced_accuracy"):
        (pair, _), _ = compare_arms(results.arms, report.model_copy(update={"metric": metric}))
        ours, theirs = ([one[metric] for one in arm.results] for arm in (results.arms[0], results.arms[2]))
        assert pair.difference == pytest.approx(statistics.mean(ours) - statistics.mean(theirs))


def test_a_mean_over_seeds_needs_a_number_for_every_seed() -> None:
    assert spread([0.1, 0.3]) == Spread(pytest.approx(0.2), pytest.approx(0.2 / 2**0.5))
    assert spread([0.5]) == Spread(0.5, None)
    assert spread([0.1, None]) is None and spread([float("nan")]) is None


def test_the_plot_data_have_every_point_and_every_image(results: Results) -> None:
    curves = curve_rows(results.arms)
    assert curves.groupby("mode").size().to_dict() == {
        "supervised": 2 * 20, "imagenet": 2 * 20, "frozen": 2 * 40, "representational": 2 * 40, "distilled": 2 * 60,
        "functional": 2 * 20,
    }  # fmt: skip
    assert curves.loc[curves["stage"] == "pretrain", "val_accuracy"].isna().all()
    assert curves.loc[curves["stage"] == "distill", "pseudo"].notna().all()
    functional = curves[curves["mode"] == "functional"]
    assert curves["weight_ssl"].count() == functional["weight_ssl"].count() == 2 * 20
    assert curves["grad_cosine"].count() == functional["grad_cosine"].count() == 2 * 10
    names = results.meta.classes
    cells = confusion_rows(results.arms, names)
    for arm in results.arms:
        own = cells[cells["mode"] == arm.mode]
        assert own["images"].sum() == 2 * 90 and own["actual"].tolist()[:4] == names
        assert own.loc[own["actual"] == own["predicted"], "images"].sum() == (arm.predicted == arm.labels).sum()
    assert (cells.groupby(["mode", "actual"])["share"].sum() - 1).abs().max() < 1e-4


def test_all_outputs_have_the_same_bytes_twice(params: Params) -> None:
    names = ["summary.json", "validation.json", "test.json", "report.md", "curves.csv", "confusion.csv", "costs.csv"]
    names += ["report.html", "figures/maps.png"]
    main(params)
    first = {name: (Path("metrics") / name).read_bytes() for name in names}
    main(params)
    assert {name: (Path("metrics") / name).read_bytes() for name in names} == first


def test_the_report_does_not_import_torch() -> None:
    code = "import stages.report, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)
