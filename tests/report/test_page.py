"""The sentences and numbers of metrics/report.md."""

import json
import re
import statistics
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from fkt.core.arms import ARMS
from fkt.core.runs import Run
from fkt.params import Labels, Params
from fkt.report.arms import Results
from fkt.report.conditions import title
from fkt.report.page import escape, render, shared_content
from fkt.report.statistics import Comparison, Level, Spread, needed_images, needed_seeds
from fkt.report.tables import markdown_table, p_value, percent
from fkt.report.terminal import shown
from fkt.report.verdict import decide
from fkt.training.labels import labelled_index
from stages.report import main
from tests.report.fabricated import fabricate, fabricated_params, results_of


def _page() -> str:
    return Path("metrics/report.md").read_text(encoding="utf-8")


def _found(low: float, high: float, name_b: str = "supervised", num_seeds: int = 8) -> Comparison:
    spread = Spread(0.02, 0.2, 0.25)
    return Comparison("functional", name_b, (low + high) / 2, low, high, 0.02, spread, [0.01] * num_seeds)


@pytest.fixture
def page_of(results: Results, all_params: Params):
    """A function that returns the page of all arms with some contrasts and changed parameters."""

    def page(*contrasts: Comparison, failed: tuple[str, ...] = (), **changes: object) -> str:
        params = all_params.model_copy(update=changes)
        decisions = decide(contrasts, params.report, num_images=359, failed=failed)
        return render(shared_content(params, results, decisions, [], {}))

    return page


@pytest.fixture
def conclusion(page_of):
    """A function that returns the conclusion on contrasts, in one line."""

    def conclude(*contrasts: Comparison, failed: tuple[str, ...] = ()) -> str:
        num_seeds = len(contrasts[0].by_seed)
        page = page_of(*contrasts, failed=failed, seeds=list(range(num_seeds)))
        text = " ".join(page.split("`metrics/report.html`")[0].split("\n", 1)[1].split())
        printed = " ".join(shown(page).split())
        for part in re.split(r" - |\*\*", text.replace("`", "")):
            assert part.strip() in printed, "the terminal shows it too"
        return text

    return conclude


BETTER, WORSE, EQUAL, OPEN = (0.012, 0.05), (-0.05, -0.012), (-0.004, 0.008), (-0.01, 0.04)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (BETTER, BETTER, "train jointly"),
        (BETTER, WORSE, "pretrain first, then fine-tune"),
        (EQUAL, EQUAL, "labels alone are enough; no arm differs by a margin that matters"),
        (OPEN, OPEN, "undecided: these runs do not show which arm is better"),
        (EQUAL, None, "labels alone are enough"),
        (OPEN, None, "undecided: these runs do not show which arm is better"),
    ],
)
def test_the_verdict_is_what_the_contrasts_say_together(conclusion, first, second, expected: str) -> None:
    contrasts = [_found(*first)] + ([_found(*second, name_b="representational")] if second else [])
    assert conclusion(*contrasts).startswith(f"**{expected[0].upper()}{expected[1:]}.** ")


def test_each_contrast_has_a_sentence_with_its_interval(conclusion) -> None:
    worse = "- functional is worse than supervised: -3.1 points (95 % interval: -5.0 to -1.2)."
    assert worse in conclusion(_found(*WORSE))
    equal = "do not differ by a margin that matters (1 point): +0.2 points (95 % interval: -0.4 to +0.8)."
    assert equal in conclusion(_found(*EQUAL))
    undecided = conclusion(_found(*OPEN))
    assert "- functional and supervised: undecided. The difference is +1.5 points" in undecided
    images = needed_images(_found(*OPEN).spread, 16, 0.015, Level(0.95))
    assert needed_seeds(_found(*OPEN).spread, 359, 0.015, Level(0.95)) is None
    assert needed_images(_found(*OPEN).spread, 8, 0.015, Level(0.95)) is None
    assert f"functional and supervised, you need about {images:,} test images with 16 seeds." in undecided


def test_there_is_no_verdict_from_few_seeds_or_a_failed_training(conclusion) -> None:
    few = conclusion(_found(*BETTER, num_seeds=3))
    assert "**Too few seeds for a verdict.**" in few and "better than" not in few
    assert "no verdict from fewer than 5 seeds. The difference is +3.1 points (95 % interval: +1.2" in few
    seeds = needed_seeds(_found(*BETTER).spread, 359, 0.031, Level(0.95))
    assert f"About {seeds} seeds would tell a difference of this size." in few
    assert f"Write at least {seeds} seeds into `seeds` of params.yaml (now 3)" in few
    assert "About" not in conclusion(_found(*BETTER, num_seeds=1))
    failed = conclusion(_found(*BETTER), _found(*EQUAL, name_b="representational"), failed=("representational",))
    assert "**No verdict, because a training failed.**" in failed
    assert "functional is better than supervised" in failed
    assert "- functional and representational: no verdict, because a training failed." in failed


def test_the_page_has_the_numbers_of_the_runs(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    main(params)
    page, printed = _page(), capsys.readouterr().out
    row = next(line for line in page.splitlines() if line.startswith("| functional "))
    values = [100 * result["accuracy"] for result in results_of("functional")]
    assert f"{statistics.mean(values):.2f} \u00b1 {statistics.stdev(values):.2f}" in row and row in printed
    assert "5 labels per class: 20 of 320 training images, which differ between seeds" in page
    assert "| functional - supervised " in page and "Exploratory comparisons" in page
    assert "fewer labelled images (20) than validation images (80)" in page
    assert Path("metrics/report.html").is_file() and "metrics/report.html" in printed
    assert "\n\n\n" not in page and "  " not in re.sub(r"^\|.*", "", page, flags=re.MULTILINE)


def test_the_losses_of_the_joint_run_are_given_from_first_to_last(results: Results, all_params: Params) -> None:
    rows = shared_content(all_params, results, [], [], {})["losses"]
    assert [row[0] for row in rows] == ["weight_ce", "weight_ssl", "grad_cosine", "grad_norm_ratio"]
    assert rows[0][1:] == ["1.020 \u00b1 0.000", "1.210 \u00b1 0.000", "1.400 \u00b1 0.000"]
    assert rows[2][1:] == ["0.250 \u00b1 0.000", "0.025 \u00b1 0.000", "-0.200 \u00b1 0.000"]
    ratios = [(4 + seed) * 10**0.1 for seed in (0, 1)]
    assert rows[3][1] == f"{statistics.mean(ratios):.3f} \u00b1 {statistics.stdev(ratios):.3f}"


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.usefixtures("numbers_only")
def test_any_arm_alone_with_one_seed_is_reported(arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = fabricated_params(modes=[arm], seeds=[7])
    fabricate(params, num_test=60)
    main(params)
    summary, page = json.loads(Path("metrics/summary.json").read_text()), _page()
    assert set(summary) == {arm, "untrained"} and not any(name.endswith("_std") for name in summary[arm])
    assert "\u00b1 0" not in page
    assert "only one arm" in page and ("**Teacher**" in page) == (arm == "distilled")
    assert ("lambda" in page.lower()) == ("joint run" in page.lower()) == (arm == "functional")


def test_own_images_are_named_by_their_folder(all_params: Params) -> None:
    own = all_params.prepare.model_copy(update={"source": "../photos/birds"})
    assert title(all_params.model_copy(update={"dataset": "folder", "prepare": own})).startswith("birds, 5 labels")


def test_every_balance_has_its_sentence(page_of, all_params: Params) -> None:
    def loss(balance: str, **changes: object) -> str:
        page = page_of(ssl_weight=0.5, joint=all_params.joint.model_copy(update={"balance": balance} | changes))
        suffix = "" if balance == "fixed" else f" ({balance})"
        assert page.startswith(f"# digits, 5 labels per class, lambda 0.5{suffix}\n")
        return next(line for line in page.splitlines() if line.startswith("- **Loss of the joint run**"))

    names = get_args(type(all_params.joint).model_fields["balance"].annotation)
    sentences = {name: loss(name) for name in names}
    assert len(set(sentences.values())) == 4 and all("lambda = 0.5" in text for text in sentences.values())
    assert "cross-entropy + 0.5 * self-supervised loss" in sentences["fixed"] and "alpha 1.5" in sentences["gradnorm"]
    assert sentences["schedule"].endswith("The share falls from 1 to 0 along a cosine.")
    slow = all_params.joint.schedule.model_copy(update={"curve": "constant", "warmup_fraction": 0.1})
    rises = "The share rises from 0 to 1 over the first 10 % of the run, then stays 1."
    assert loss("schedule", schedule=slow).endswith(rises)


@pytest.mark.parametrize(
    ("selection", "per_class", "expected"),
    [
        ("auto", 19, "those of the last step. {} because there are fewer labelled images (76) than"),
        ("auto", 20, "those with the best accuracy {} because there are not fewer labelled images (80) than"),
        ("last", 80, "those of the last step. Validation images are scored, but select nothing.\n"),
        ("validation", 5, "those with the best accuracy on the validation images. No run is trained on"),
    ],
)
def test_the_selection_is_described_as_it_was_made(selection: str, per_class: int, expected: str, page_of) -> None:
    text = page_of(selection=selection, labels=Labels(per_class=per_class, fraction=None))
    assert re.search("- \\*\\*Weights that are kept\\*\\*: " + re.escape(expected).replace(r"\{\}", ".*"), text)


@pytest.mark.parametrize(
    ("budget", "phrase"),
    [
        (Labels(per_class=1, fraction=None), "1 label per class"),
        (Labels(per_class=None, fraction=0.1), "10 % of the labels"),
        (Labels(per_class=None, fraction=None), "all labels"),
    ],
)
def test_labels_are_counted_as_they_are_drawn(
    budget: Labels, phrase: str, results: Results, all_params: Params
) -> None:
    counts = [17, 4, 45]
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor(counts))
    meta = replace(results.meta, counts=results.meta.counts | {"train": counts})
    params = all_params.model_copy(update={"labels": budget})
    page = render(shared_content(params, replace(results, meta=meta), [], [], {}))
    count = len(labelled_index(labels, budget, seed=0))
    assert f"{phrase}: {count} of 66 training images" in page and page.startswith(f"# digits, {phrase}, ")
    assert ("which differ between seeds" in page) == (count < 66)


def test_labels_that_ssl_uses_are_listed_and_the_teacher_is_described(page_of, all_params: Params) -> None:
    page = page_of(ssl=all_params.ssl.model_copy(update={"label_fraction": 0.25}))
    assert "- **Labels of SSL**: 25 % of the labels of each class" in page
    assert "resnet34 with 24 channels. Its features of the training images form 50 clusters, of which 49.5 have" in page
    assert "**Labels of SSL**" not in page_of()


@pytest.mark.usefixtures("numbers_only")
def test_warnings_are_on_the_page_with_their_markdown_escaped(params: Params) -> None:
    main(params)
    assert "## Warnings" not in _page()
    path = Run("digits", "supervised", 2).log / "cost.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"warnings": ["a|b `c`\n# <d>"]}))
    main(params)
    assert "## Warnings\n\n- supervised, seed 2: a\\|b \\`c\\` # \\<d>\n" in _page()


def test_text_from_outside_cannot_change_the_markdown() -> None:
    assert escape("a|b\n\n# c `d` <e> *f* [g](h) \\") == "a\\|b # c \\`d\\` \\<e> \\*f\\* \\[g\\](h) \\\\"
    assert escape("p < 0.001") == "p < 0.001"


def test_tables_are_aligned_and_missing_numbers_are_dashes() -> None:
    table = markdown_table(["Mode", "x"], [["a", "1.00"], ["long name", "10.00"]]).splitlines()
    assert len({len(line) for line in table}) == 1 and table[1].startswith("| :--") and table[1].endswith("-: |")
    assert table[2] == "| a         |  1.00 |" and percent(None) == "-"
    assert (p_value(0.0004), p_value(0.25)) == ("< 0.001", "0.250")
