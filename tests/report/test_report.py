"""The report against numbers worked out by hand from fabricated run files."""

from __future__ import annotations

import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch

from fkt.params import Labels, Params, Transfer, load_params
from fkt.report.arms import read_arm, read_arms, read_clusters
from fkt.report.conditions import balance_sentence, count_labelled, labels_sentence, selection_sentence
from fkt.report.fusion import fusion_table
from fkt.report.plot_data import confusion_rows, curve_rows
from fkt.report.run_files import MissingResult
from fkt.report.summary import ORDER, spread
from fkt.report.tables import markdown_table, p_value, percent
from fkt.runs import PRETRAINED, Run, maps_path, transfer_path
from fkt.training.budget import labelled_index
from stages import report as report_stage
from stages.report import main
from tests.report.fabricated import fabricate

ROOT = Path(__file__).parents[2]
NAMES = [f"kind {number}" for number in range(4)]
ARMS = ["functional", "supervised", "representational"]


def _params(**changes: object) -> Params:
    return load_params(ROOT / "params.yaml").model_copy(
        update={"dataset": "digits", "seeds": [0, 1, 2], "modes": [PRETRAINED, *ARMS]}
        | {"labels": Labels(per_class=5, fraction=None), "selection": "auto"}
        | changes
    )


@pytest.fixture
def numbers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out: they take most of the time and have tests of their own."""
    for name in ("draw_accuracy", "draw_curves", "draw_confusion", "draw_maps"):
        monkeypatch.setattr(report_stage, name, lambda *arguments: None)


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    params = _params()
    fabricate(params, names=NAMES, num_test=120)
    return params


def _results(mode: str) -> list[dict[str, float]]:
    return [json.loads(Run("digits", mode, seed).results.read_text()) for seed in (0, 1, 2)]


def test_arms_that_did_not_spend_alike_are_said(params: Params) -> None:
    main(params)
    assert "did not spend alike" not in Path("metrics/report.md").read_text()
    for seed in params.seeds:
        path = Run("digits", "supervised", seed).told / "supervised" / "cost.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"image_passes": content["image_passes"] // 10}))
    main(params)
    assert "**The arms did not spend alike**" in Path("metrics/report.md").read_text()


@pytest.mark.usefixtures("numbers_only")
@pytest.mark.parametrize(
    ("fraction", "said"),
    [(0.0, None), (0.25, "25 % of each class's labels, in pre"), (1.0, "all labels, in pretraining")],
)
def test_labels_that_ssl_has_seen_are_said(params: Params, fraction: float, said: str | None) -> None:
    main(params.model_copy(update={"ssl": params.ssl.model_copy(update={"label_fraction": fraction})}))
    page = Path("metrics/report.md").read_text()
    assert ("**Labels of SSL**" in page) == (said is not None)
    assert said is None or f"- **Labels of SSL**: {said}" in page


@pytest.mark.usefixtures("numbers_only")
def test_the_summary_is_two_levels_of_numbers_worked_out_by_hand(params: Params) -> None:
    main(params)
    summary = json.loads(Path("metrics/summary.json").read_text())
    for section in summary.values():
        assert all(type(value) in (int, float) for value in section.values())
    for mode in ARMS:
        for name, source in (("accuracy", "accuracy"), ("precision", "macro_precision"), ("recall", "macro_recall")):
            values = [result[source] for result in _results(mode)]
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
            log = run.told / run.stage
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
    for row in rows.itertuples():
        cost = json.loads((Run("digits", row.mode, row.seed).told / row.stage / "cost.json").read_text())
        assert (row.steps, row.image_passes) == (cost["steps"], cost["image_passes"])
        assert row.gflops == pytest.approx(cost["flops"] / 1e9, abs=1e-5)
        assert (row.epochs, row.seconds) == (pytest.approx(cost["epochs"]), pytest.approx(cost["seconds"], abs=1e-5))


@pytest.mark.usefixtures("numbers_only")
def test_representational_costs_include_pretraining(params: Params) -> None:
    main(params)
    summary = json.loads(Path("metrics/summary.json").read_text())
    told = Run("digits", "representational", 0).told
    parts = [json.loads((told / stage / "cost.json").read_text()) for stage in ("pretrain", "finetune")]
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
    for mode, stage in (("supervised", "supervised"), ("functional", "joint")):
        path = Run("digits", mode, 1).told / stage / "cost.json"
        cost = json.loads(path.read_text())
        path.write_text(json.dumps(cost | {"seconds": 999.0, "images_per_second": 1.0, "device": "another"}))
    main(params)
    assert Path("metrics/summary.json").read_bytes() == first
    assert "different hardware" in Path("metrics/report.md").read_text(encoding="utf-8")


def test_all_outputs_have_the_same_bytes_twice(params: Params) -> None:
    main(params)
    names = ["summary.json", "report.md", "curves.csv", "confusion.csv"]
    names += [f"figures/{name}.png" for name in ("accuracy", "curves", "confusion", "maps")]
    first = {name: (Path("metrics") / name).read_bytes() for name in names}
    main(params)
    for name in names:
        assert (Path("metrics") / name).read_bytes() == first[name], name


def test_one_seed_has_no_deviation_and_one_mode_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = _params(seeds=[7], modes=["functional"])
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
    results = _results("supervised")
    assert summary["supervised"]["accuracy"] == pytest.approx(
        (results[0]["accuracy"] + results[2]["accuracy"]) / 2, abs=1e-5
    )


@pytest.mark.parametrize("arm", ORDER)
@pytest.mark.usefixtures("numbers_only")
def test_any_arm_alone_is_reported(arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = _params(modes=[arm], seeds=[0, 1])
    fabricate(params, names=NAMES, num_test=60)
    main(params)
    assert set(json.loads(Path("metrics/summary.json").read_text())) == {arm}
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    assert "There is one arm" in page and ("**Teacher**" in page) == (arm == "distilled")
    assert ("lambda" in page) == (arm == "functional") and ("go forward alone" in page) == (arm == "frozen")


@pytest.mark.usefixtures("numbers_only")
def test_all_arms_are_compared_and_each_stage_has_its_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = _params(modes=[*reversed(ORDER), PRETRAINED], seeds=[0, 2])
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


def test_the_page_says_what_was_compared_and_how(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    main(params)
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| functional ")][0]
    values = [100 * result["accuracy"] for result in _results("functional")]
    assert f"{statistics.mean(values):.2f} \u00b1 {statistics.stdev(values):.2f}" in table
    assert "5 labels per class: 20 of 320 training images" in page
    assert "lambda = 1" in page and "weights of the last step" in page and "80 of validation" in page
    assert "AMD EPYC 9B14, bfloat16, 2 threads" in page
    for name in ("accuracy", "curves", "confusion", "maps"):
        assert f"(figures/{name}.png)" in page and (Path("metrics/figures") / f"{name}.png").is_file()
    printed = capsys.readouterr().out
    assert table in printed and "metrics/report.md" in printed and "metrics/figures" in printed
    assert " ".join(page.split("\n\n")[1].split()) in " ".join(printed.split())


@pytest.mark.usefixtures("numbers_only")
def test_the_page_says_how_the_losses_were_weighed_and_what_came_of_it(params: Params) -> None:
    main(params)
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    assert page.startswith("# digits, 5 labels per class, lambda 1\n")
    assert "cross-entropy + 1 * self-supervised loss (lambda = 1)" in page and "## The two losses of the joint" in page
    main(params.model_copy(update={"joint": params.joint.model_copy(update={"balance": "gradnorm"})}))
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    assert page.startswith("# digits, 5 labels per class, lambda 1 (gradnorm)\n") and "alpha 1.5), lambda = 1" in page
    main(params.model_copy(update={"modes": ["supervised", "representational"]}))
    assert "joint run" not in Path("metrics/report.md").read_text(encoding="utf-8")


def test_every_balance_is_told_in_a_sentence_of_its_own() -> None:
    joint = load_params(ROOT / "params.yaml").joint
    told = {
        name: balance_sentence(0.5, joint.model_copy(update={"balance": name}))
        for name in get_args(type(joint).model_fields["balance"].annotation)
    }
    assert len(set(told.values())) == len(told) == 4 and all("lambda = 0.5" in text for text in told.values())
    assert told["schedule"].endswith("the share falls from 1 to 0 along a cosine")
    slow = joint.schedule.model_copy(update={"curve": "constant", "warmup_fraction": 0.1})
    text = balance_sentence(0.5, joint.model_copy(update={"balance": "schedule", "schedule": slow}))
    assert text.endswith("the share rises from 0 over the first 10 % of the run, then stays 1")


def test_the_losses_are_told_from_first_to_last(params: Params) -> None:
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _fusion_lines(params)]
    assert [row[0].split()[0] for row in table] == ["Weight", "Weight", "Cosine", "Norm"]
    assert table[0][1:] == ["1.020 \u00b1 0.000", "1.210 \u00b1 0.000", "1.400 \u00b1 0.000"]
    assert table[2][1:] == ["0.250 \u00b1 0.000", "0.025 \u00b1 0.000", "-0.200 \u00b1 0.000"]
    assert table[3][1] == f"{5 * 10**0.1:.3f} \u00b1 {10**0.1:.3f}", "over seeds 0, 1, 2"
    assert fusion_table(read_arms("digits", ["supervised"], params.seeds)) == ""


def _fusion_lines(params: Params) -> list[str]:
    return fusion_table(read_arms("digits", ["functional"], params.seeds)).splitlines()[2:]


@pytest.mark.usefixtures("numbers_only")
def test_warnings_of_a_run_reach_the_page(params: Params) -> None:
    path = Run("digits", "functional", 2).told / "joint" / "cost.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": ["the features have collapsed"]}))
    main(params)
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    assert "## Warnings" in page and "functional, seed 2: the features have collapsed" in page


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (Run("digits", "functional", 1).results, "evaluate@functional"),
        (Run("digits", "supervised", 0).predictions, "evaluate@supervised"),
        (Run("digits", "representational", 2).told / "finetune/curve.csv", "evaluate@representational"),
        (Run("digits", "representational", 2).told / "pretrain/cost.json", "evaluate@representational"),
        (Run("digits", PRETRAINED, 1).results, "evaluate@pretrained"),
        (maps_path("functional"), "cam@functional"),
        (maps_path(PRETRAINED), "cam@pretrained"),
        (Path("data/digits/meta.json"), "prepare"),
    ],
)
@pytest.mark.usefixtures("numbers_only")
def test_a_missing_file_is_named_with_the_stage_that_makes_it(params: Params, path: Path, stage: str) -> None:
    path.unlink()
    with pytest.raises(MissingResult) as caught:
        main(params)
    assert str(path) in str(caught.value) and f"'dvc repro {stage}'" in str(caught.value)


def test_missing_clusters_are_named_with_the_stage_that_hands_them_on(params: Params) -> None:
    with pytest.raises(MissingResult, match=r"distilled/s0/distill/clusters\.json is missing; .*evaluate@distilled'"):
        read_clusters("digits", params.seeds)


def test_the_stages_that_errors_name_are_in_the_pipeline() -> None:
    pipeline = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    for stage in ("evaluate", "cam", "prepare", "report"):
        assert f"\n  {stage}:\n" in pipeline


def test_arms_on_different_test_images_are_refused(params: Params) -> None:
    path = Run("digits", "functional", 0).predictions
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    np.savez(path, **(arrays | {"ids": arrays["ids"] + 1}))
    with pytest.raises(MissingResult, match="other test images"):
        read_arms("digits", ["functional"], [0, 1])
    with pytest.raises(MissingResult, match="other test images"):
        read_arms("digits", ["supervised", "functional"], [0])


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


@pytest.mark.parametrize(
    "budget",
    [Labels(per_class=3, fraction=None), Labels(per_class=None, fraction=0.1), Labels(per_class=None, fraction=None)],
)
def test_the_labels_are_counted_as_they_are_drawn(budget: Labels) -> None:
    counts = [17, 4, 45]
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    assert count_labelled(budget, counts) == len(labelled_index(labels, budget, seed=0))
    assert f"{count_labelled(budget, counts)} of 66" in labels_sentence(budget, counts)


def test_selection_is_told_as_it_was_made() -> None:
    assert selection_sentence("auto", 50, 200).startswith("the weights of the last step")
    assert selection_sentence("auto", 200, 200).startswith("the weights with the best accuracy on validation")
    assert selection_sentence("last", 200, 10).startswith("the weights of the last step")
    assert "(auto" not in selection_sentence("validation", 10, 200)


def test_tables_are_aligned_and_absent_numbers_are_dashes() -> None:
    table = markdown_table(["Mode", "x"], [["a", "1.00"], ["long name", "10.00"]]).splitlines()
    assert len({len(line) for line in table}) == 1 and table[1].startswith("| :--") and table[1].endswith("-: |")
    assert percent(None) == "-" and percent(spread([0.5])) == "50.00"
    assert percent(spread([0.1, 0.3])) == "20.00 \u00b1 14.14"
    assert spread([0.1, None]) is None and spread([float("nan")]) is None
    assert (p_value(0.0004), p_value(0.25), p_value(float("nan"))) == ("< 0.001", "0.250", "-")


def test_the_report_does_not_import_torch() -> None:
    code = "import stages.report, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
