"""The summary, the costs and the data of the plots against numbers worked out by hand from fabricated run files."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import pandas as pd
import pytest

from fkt.core.arms import ARMS as ORDER
from fkt.core.arms import NETWORKS, PRETRAINED
from fkt.core.runs import Run, transfer_path
from fkt.params import Params, Transfer
from fkt.report.arms import read_arm, read_arms
from fkt.report.plot_data import confusion_rows, curve_rows
from fkt.report.run_files import MissingResult
from stages.report import main
from tests.report.fabricated import ARMS, NAMES, fabricate, fabricated_params, results_of


@pytest.mark.usefixtures("numbers_only")
def test_the_summary_is_two_levels_of_numbers_worked_out_by_hand(params: Params) -> None:
    main(params)
    summary = json.loads(Path("metrics/summary.json").read_text())
    for section in summary.values():
        assert all(type(value) in (int, float) for value in section.values())
    for mode in ARMS:
        for name, source in (("accuracy", "accuracy"), ("precision", "macro_precision"), ("recall", "macro_recall")):
            values = [result[source] for result in results_of(mode)]
            assert summary[mode][name] == pytest.approx(statistics.mean(values), abs=1e-5)
            assert summary[mode][f"{name}_std"] == pytest.approx(statistics.stdev(values), abs=1e-5)
        assert summary[mode]["seeds"] == 3
    gap = summary["functional"]["accuracy"] - summary["representational"]["accuracy"]
    difference = summary["functional_minus_representational"]
    assert difference["difference"] == pytest.approx(gap, abs=2e-5)
    assert difference["low"] < difference["difference"] < difference["high"]
    assert 0 < difference["p_images"] <= 1
    assert {"functional_minus_supervised", "representational_minus_supervised"} < set(summary)
    assert summary[PRETRAINED]["knn_accuracy"] == pytest.approx(0.62)


@pytest.mark.usefixtures("numbers_only")
def test_validation_accuracy_is_that_of_the_step_that_was_kept_and_is_not_rounded(params: Params) -> None:
    main(params)
    summary = json.loads(Path("metrics/summary.json").read_text())
    for mode in params.arms:
        values = []
        for seed in params.seeds:
            run = Run("digits", mode, seed)
            log = run.log
            kept = json.loads((log / "cost.json").read_text())["kept_step"]
            assert kept == (150 if seed == 1 else 200)
            with (log / "curve.csv").open(newline="") as file:
                values += [float(row["val_accuracy"]) for row in csv.DictReader(file) if float(row["step"]) == kept]
        assert summary[mode]["val_accuracy"] == pytest.approx(sum(values) / 3, abs=1e-15)
        assert summary[mode]["val_accuracy_std"] == pytest.approx(statistics.stdev(values), abs=1e-15)
        assert len(str(summary[mode]["val_accuracy"])) > len("0.12345")


@pytest.mark.usefixtures("numbers_only")
def test_probes_on_other_datasets_are_sections_of_their_own(params: Params) -> None:
    for dataset, base in (("usps", 0.5), ("svhn", 0.3), ("mnist", 0.1)):
        for seed in params.seeds:
            path = transfer_path(dataset, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"knn_accuracy": base + 0.01 * seed, "linear_accuracy": 0.9, "num_test": 5}))
    main(params.model_copy(update={"transfer": Transfer(datasets=["usps", "svhn"])}))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert summary["transfer_usps"] == {
        "knn_accuracy": 0.51, "knn_accuracy_std": 0.01, "linear_accuracy": 0.9, "linear_accuracy_std": 0.0, "seeds": 3,
    }  # fmt: skip
    assert "transfer_svhn" in summary and "transfer_mnist" not in summary
    assert not transfer_path("mnist", 0).exists(), "a dataset that is no longer asked for"
    assert "| usps    | 51.00 \u00b1 1.00 | " in Path("metrics/report.md").read_text(encoding="utf-8")
    with pytest.raises(MissingResult, match="run 'dvc repro evaluate-transfer@stl10'"):
        main(params.model_copy(update={"transfer": Transfer(datasets=["stl10"])}))


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
        cost = json.loads((Run("digits", names[row.stage], row.seed).log / "cost.json").read_text())
        assert (row.steps, row.image_passes) == (cost["steps"], cost["image_passes"])
        assert row.gflops == pytest.approx(cost["flops"] / 1e9, abs=1e-5)
        assert (row.epochs, row.seconds) == (pytest.approx(cost["epochs"]), pytest.approx(cost["seconds"], abs=1e-5))


@pytest.mark.usefixtures("numbers_only")
def test_representational_costs_include_pretraining(params: Params) -> None:
    main(params)
    summary = json.loads(Path("metrics/summary.json").read_text())
    parts = [json.loads((part.log / "cost.json").read_text()) for part in Run("digits", "representational", 0).parts]
    assert summary["representational"]["image_passes"] == sum(part["image_passes"] for part in parts)
    assert summary["representational"]["gflops"] == pytest.approx(sum(part["flops"] for part in parts) / 1e9)
    curves = read_arm("digits", "representational", [0]).curves
    finetune = curves[curves["stage"] == "finetune"]["passes"]
    assert finetune.min() > curves[curves["stage"] == "pretrain"]["passes"].max()
    assert finetune.max() == pytest.approx(params.budget.passes)


@pytest.mark.usefixtures("numbers_only")
def test_nothing_that_differs_between_identical_runs_is_in_the_summary(params: Params) -> None:
    main(params)
    first = Path("metrics/summary.json").read_bytes()
    for mode in ("supervised", "functional"):
        path = Run("digits", mode, 1).log / "cost.json"
        cost = json.loads(path.read_text())
        path.write_text(json.dumps(cost | {"seconds": 999.0, "images_per_second": 1.0, "device": "another"}))
    main(params)
    assert Path("metrics/summary.json").read_bytes() == first
    assert "different hardware" in Path("metrics/report.md").read_text(encoding="utf-8")


def test_one_seed_has_no_deviation_and_one_mode_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = fabricated_params(seeds=[7], modes=["functional"])
    fabricate(params, names=NAMES, num_test=60)
    main(params)
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert set(summary) == {"functional"} and not any(name.endswith("_std") for name in summary["functional"])
    assert "\u00b1 0" not in Path("metrics/report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("numbers_only")
def test_seeds_and_modes_that_are_no_longer_asked_for_are_left_out(params: Params) -> None:
    main(params.model_copy(update={"seeds": [0, 2], "modes": ["supervised", "functional"]}))
    summary = json.loads(Path("metrics/summary.json").read_text())
    assert set(summary) == {"supervised", "functional", "functional_minus_supervised"}
    results = results_of("supervised")
    assert summary["supervised"]["accuracy"] == pytest.approx(
        (results[0]["accuracy"] + results[2]["accuracy"]) / 2, abs=1e-5
    )


@pytest.mark.usefixtures("numbers_only")
def test_all_arms_are_compared_and_each_stage_has_its_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = fabricated_params(modes=[*reversed(ORDER), PRETRAINED], seeds=[0, 2])
    fabricate(params, names=NAMES, num_test=60)
    main(params)
    summary = json.loads(Path("metrics/summary.json").read_text())
    pairs = {f"{later}_minus_{earlier}" for n, later in enumerate(ORDER) for earlier in ORDER[:n]}
    assert len(pairs) == 10 and set(summary) == {*ORDER, PRETRAINED, *pairs}
    for arm in ORDER:
        assert summary[arm]["image_passes"] == pytest.approx(800 * params.budget.passes, abs=2)
    third = 800 * params.budget.passes / 3
    assert summary["distilled"]["gflops"] == pytest.approx(third * (6e7 + 2 * 2.5e7) / 1e9, rel=1e-4)
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    train = 80 * len(NAMES)
    stages = ("pretrain-teacher", 6e7), ("distill", 2.5e7), ("finetune-distilled", 2.5e7)
    told = [f"{stage} {round(third) / train:.1f} ({third * flops / 1e12:.3g})" for stage, flops in stages]
    assert f"- distilled: {', '.join(told)}" in page
    assert "resnet34, 24 channels wide; its features of the training images in 50 clusters, of which 49 have" in page
    curves = pd.read_csv("metrics/curves.csv")
    assert curves.groupby(["mode", "seed"])["passes"].max().round(3).eq(params.budget.passes).all()
    assert curves.loc[curves["stage"] == "distill", "pseudo"].notna().all()


def test_plot_data_hold_every_point_and_every_image(params: Params) -> None:
    arms = read_arms("digits", ["supervised", "representational", "functional"], params.seeds)
    curves = curve_rows(arms)
    assert len(curves) == 3 * 20 + 3 * 40 + 3 * 20
    assert curves.loc[curves["stage"] == "pretrain", "val_accuracy"].isna().all()
    assert curves.groupby("mode")["weight_ssl"].count().tolist() == [3 * 20, 0, 0]
    assert curves.groupby("mode")["grad_cosine"].count().tolist() == [3 * 10, 0, 0]
    cells = confusion_rows(arms, NAMES)
    for arm in arms:
        mine = cells[cells["mode"] == arm.mode]
        assert mine["images"].sum() == 3 * 120
        hits = mine.loc[mine["actual"] == mine["predicted"], "images"].sum()
        assert hits == arm.correct.sum() and mine["actual"].tolist()[:4] == NAMES
    assert isinstance(cells, pd.DataFrame) and (cells.groupby(["mode", "actual"])["share"].sum() - 1).abs().max() < 1e-4
