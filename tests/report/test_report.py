"""What the report says of fabricated run files, and what it says of files that are missing."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from fkt.core.arms import ARMS as ORDER
from fkt.core.arms import PRETRAINED
from fkt.core.runs import Run, maps_path
from fkt.params import Labels, Params, load_params
from fkt.report.arms import read_arms, read_clusters
from fkt.report.conditions import balance_sentence, labels_sentence, selection_sentence
from fkt.report.fusion import fusion_table
from fkt.report.run_files import MissingResult
from fkt.report.summary import spread
from fkt.report.tables import markdown_table, p_value, percent
from fkt.training.labels import labelled_index
from stages.report import main
from tests.report.fabricated import NAMES, fabricate, fabricated_params, results_of

ROOT = Path(__file__).parents[2]


def test_arms_that_did_not_spend_alike_are_said(params: Params) -> None:
    main(params)
    assert "did not spend alike" not in Path("metrics/report.md").read_text()
    for seed in params.seeds:
        path = Run("digits", "supervised", seed).log / "cost.json"
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


def test_all_outputs_have_the_same_bytes_twice(params: Params) -> None:
    main(params)
    names = ["summary.json", "report.md", "curves.csv", "confusion.csv"]
    names += [f"figures/{name}.png" for name in ("accuracy", "curves", "confusion", "maps")]
    first = {name: (Path("metrics") / name).read_bytes() for name in names}
    main(params)
    for name in names:
        assert (Path("metrics") / name).read_bytes() == first[name], name


@pytest.mark.parametrize("arm", ORDER)
@pytest.mark.usefixtures("numbers_only")
def test_any_arm_alone_is_reported(arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = fabricated_params(modes=[arm], seeds=[0, 1])
    fabricate(params, names=NAMES, num_test=60)
    main(params)
    assert set(json.loads(Path("metrics/summary.json").read_text())) == {arm}
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    assert "There is one arm" in page and ("**Teacher**" in page) == (arm == "distilled")
    assert ("lambda" in page) == (arm == "functional") and ("go forward alone" in page) == (arm == "frozen")


def test_the_page_says_what_was_compared_and_how(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    main(params)
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    table = [line for line in page.splitlines() if line.startswith("| functional ")][0]
    values = [100 * result["accuracy"] for result in results_of("functional")]
    assert f"{statistics.mean(values):.2f} \u00b1 {statistics.stdev(values):.2f}" in table
    assert "5 labels per class: 20 of 320 training images" in page
    assert "ordered classes alone" in page and "a step for one hardly changes the other" in page
    assert "Holm: the p before it" in page and "not widened for the others" in page
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
    path = Run("digits", "functional", 2).log / "cost.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": ["the features have collapsed"]}))
    main(params)
    page = Path("metrics/report.md").read_text(encoding="utf-8")
    assert "## Warnings" in page and "functional, seed 2: the features have collapsed" in page


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        (Run("digits", "functional", 1).results, "evaluate@functional"),
        (Run("digits", "supervised", 0).predictions, "evaluate@supervised"),
        (Run("digits", "representational", 2).log / "curve.csv", "finetune@2"),
        (Run("digits", PRETRAINED, 2).log / "cost.json", "pretrain@2"),
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
    with pytest.raises(MissingResult, match=r"student/s0/clusters\.json is missing; .*distill@0'"):
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


@pytest.mark.parametrize(
    "budget",
    [Labels(per_class=3, fraction=None), Labels(per_class=None, fraction=0.1), Labels(per_class=None, fraction=None)],
)
def test_the_labels_are_counted_as_they_are_drawn(budget: Labels) -> None:
    counts = [17, 4, 45]
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    count = sum(map(budget.count, counts))
    assert count == len(labelled_index(labels, budget, seed=0))
    assert f"{count} of 66" in labels_sentence(budget, counts)


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
