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
from fkt.report.page import Page, escape, render
from fkt.report.statistics import Comparison, Level, Spread, needed_images, needed_seeds
from fkt.report.tables import markdown_table, p_value, percent
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

    def page(*contrasts: Comparison, failed: tuple[str, ...] = (), **changes: object) -> Page:
        params = all_params.model_copy(update=changes)
        return render(params, results, decide(contrasts, params.report, num_images=359, failed=failed), [], [])

    return page


@pytest.fixture
def conclusion(page_of):
    """A function that returns the conclusion on contrasts, in one line."""

    def conclude(*contrasts: Comparison, failed: tuple[str, ...] = ()) -> str:
        num_seeds = len(contrasts[0].by_seed)
        page = page_of(*contrasts, failed=failed, seeds=list(range(num_seeds)))
        text = " ".join(page.text.split("## Conclusion")[1].split("## Test scores")[0].split())
        assert text in " ".join(page.headline.split()), "the terminal shows it too"
        return text

    return conclude


BETTER, WORSE, EQUAL, OPEN = (0.012, 0.05), (-0.05, -0.012), (-0.004, 0.008), (-0.01, 0.04)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (BETTER, BETTER, "train jointly"),
        (BETTER, WORSE, "pretrain first, then fine-tune"),
        (
            BETTER,
            EQUAL,
            "use self-supervision; before or together with the labels makes no difference that matters",
        ),
        (EQUAL, EQUAL, "labels alone are enough; no arm differs by a margin that matters"),
        (EQUAL, WORSE, "pretrain first, then fine-tune"),
        (WORSE, BETTER, "train on labels alone"),
        (OPEN, OPEN, "not enough evidence"),
        (BETTER, None, "train jointly"),
        (EQUAL, None, "labels alone are enough"),
        (OPEN, None, "not enough evidence"),
    ],
)
def test_the_verdict_is_what_the_contrasts_say_together(conclusion, first, second, expected: str) -> None:
    contrasts = [_found(*first)] + ([_found(*second, name_b="representational")] if second else [])
    assert conclusion(*contrasts).startswith(f"**Verdict: {expected}.** ")


def test_each_contrast_has_a_sentence_with_its_interval(conclusion) -> None:
    assert "- functional is better than supervised: +3.10 points (95 % interval: +1.20 to +5.00)." in conclusion(
        _found(*BETTER)
    )
    assert "- functional is worse than supervised: -3.10 points (95 % interval: -5.00 to -1.20)." in conclusion(
        _found(*WORSE)
    )
    equal = "do not differ by a margin that matters (1 point): +0.20 points (95 % interval: -0.40 to +0.80)."
    assert equal in conclusion(_found(*EQUAL))
    undecided = conclusion(_found(*OPEN))
    assert "- functional and supervised: undecided. The difference is +1.50 points" in undecided
    images = needed_images(_found(*OPEN).spread, 16, 0.015, Level(0.95))
    assert needed_seeds(_found(*OPEN).spread, 359, 0.015, Level(0.95)) is None
    assert needed_images(_found(*OPEN).spread, 8, 0.015, Level(0.95)) is None
    assert f"with these test images. About {images:,} test images with 16 seeds would." in undecided


def test_there_is_no_verdict_from_few_seeds_or_a_failed_training(conclusion) -> None:
    few = conclusion(_found(*BETTER, num_seeds=3))
    assert "**Verdict: too few seeds for a verdict.**" in few and "better than" not in few
    assert "no verdict from fewer than 5 seeds. The difference is +3.10 points (95 % interval: +1.20" in few
    seeds = needed_seeds(_found(*BETTER).spread, 359, 0.031, Level(0.95))
    assert f"About {seeds} seeds would tell a difference of this size." in few
    assert "About" not in conclusion(_found(*BETTER, num_seeds=1))
    failed = conclusion(_found(*BETTER), _found(*EQUAL, name_b="representational"), failed=("representational",))
    assert "**Verdict: no verdict, because a training failed.**" in failed
    assert "functional is better than supervised" in failed
    assert "- functional and representational: no verdict, because a training failed." in failed


def test_every_special_word_is_explained_at_its_first_use(page_of) -> None:
    _, page = page_of().text.lower().split("\n", 1)
    for word in ("arm", "seed", "label budget", "ssl", "backbone", "image pass", "joint run", "probe"):
        first = re.search(rf"\b{word}(s|es)?\b", page)
        assert first is not None and first.start() == page.index(f"- **{word}**:") + len("- **"), word


def test_the_page_has_the_numbers_of_the_runs(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    main(params)
    page, printed = _page(), capsys.readouterr().out
    row = next(line for line in page.splitlines() if line.startswith("| functional "))
    values = [100 * result["accuracy"] for result in results_of("functional")]
    assert f"{statistics.mean(values):.2f} \u00b1 {statistics.stdev(values):.2f}" in row and row in printed
    assert "5 labels per class, which is 20 of 320 training images. They differ between seeds" in page
    assert "| functional - supervised " in page and "Exploratory comparisons" in page
    assert "fewer labelled images (20) than validation images (80)" in page
    assert "- representational: pretrain 66.7 (0.533), finetune 33.3 (0.267)\n" in page
    for name in ("accuracy", "curves", "confusion", "maps"):
        assert f"(figures/{name}.png)" in page and (Path("metrics/figures") / f"{name}.png").is_file()
    assert "metrics/report.md" in printed and "metrics/figures" in printed
    assert "\n\n\n" not in page and "  " not in re.sub(r"^\|.*", "", page, flags=re.MULTILINE)


def test_the_page_describes_the_teacher_and_all_stages(page_of) -> None:
    page = page_of().text
    assert "resnet34 with 24 channels. Its features of the training images form 50 clusters; 49.5 of them have" in page
    assert "- distilled: pretrain-teacher 33.3 (0.64), distill 33.3 (0.267), finetune-distilled 33.3 (0.267)" in page


def test_the_losses_of_the_joint_run_are_shown_from_first_to_last(page_of) -> None:
    table = page_of().text.split("## The two losses of the joint run")[1].split("\n\n")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    assert [row[0].split()[0] for row in rows] == ["Weight", "Weight", "Cosine", "Ratio"]
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
    assert "\u00b1 0" not in page and "with 1 seed." in page
    assert "only one arm" in page and ("**Teacher**" in page) == (arm == "distilled")
    assert ("lambda" in page.lower()) == ("joint run" in page.lower()) == (arm == "functional")
    assert ("forward pass." in page) == (arm == "frozen")


def test_every_balance_has_its_sentence(page_of, all_params: Params) -> None:
    def loss(balance: str, **changes: object) -> str:
        page = page_of(ssl_weight=0.5, joint=all_params.joint.model_copy(update={"balance": balance} | changes))
        assert page.title == "digits, 5 labels per class, lambda 0.5" + f" ({balance})" * (balance != "fixed")
        assert page.text.startswith(f"# {page.title}\n")
        return next(line for line in page.text.splitlines() if line.startswith("- **Loss of the joint run**"))

    names = get_args(type(all_params.joint).model_fields["balance"].annotation)
    sentences = {name: loss(name) for name in names}
    assert len(set(sentences.values())) == 4 and all("lambda = 0.5" in text for text in sentences.values())
    assert "cross-entropy + 0.5 * self-supervised loss" in sentences["fixed"] and "alpha 1.5" in sentences["gradnorm"]
    assert sentences["schedule"].endswith("The share falls from 1 to 0 along a cosine.")
    slow = all_params.joint.schedule.model_copy(update={"curve": "constant", "warmup_fraction": 0.1})
    assert loss("schedule", schedule=slow).endswith(
        "The share rises from 0 to 1 over the first 10 % of the run, then stays 1."
    )


@pytest.mark.parametrize(
    ("selection", "per_class", "expected"),
    [
        ("auto", 19, "the weights of the last step are kept. {} because there are fewer labelled images (76) than"),
        ("auto", 20, "the weights with the best accuracy {} because there are not fewer labelled images (80) than"),
        ("last", 80, "the weights of the last step are kept. Validation images are scored, but select nothing.\n"),
        ("validation", 5, "the weights with the best accuracy on the validation images are kept. No run is trained on"),
    ],
)
def test_the_selection_is_described_as_it_was_made(selection: str, per_class: int, expected: str, page_of) -> None:
    text = page_of(selection=selection, labels=Labels(per_class=per_class, fraction=None)).text
    assert re.search("- \\*\\*Selection\\*\\*: " + re.escape(expected).replace(r"\{\}", ".*"), text)


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
    meta = results.meta | {"counts": results.meta["counts"] | {"train": counts}}
    page = render(all_params.model_copy(update={"labels": budget}), replace(results, meta=meta), [], [], [])
    count = len(labelled_index(labels, budget, seed=0))
    assert f"{phrase}, which is {count} of 66 training images." in page.text and f"digits, {phrase}, " in page.title
    assert ("They differ between seeds" in page.text) == (count < 66)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, None), (0.25, "25 % of the labels of each class, in pretraining"), (1.0, "all labels, in pretraining")],
)
def test_labels_that_ssl_uses_are_listed(fraction: float, expected: str | None, page_of, all_params: Params) -> None:
    page = page_of(ssl=all_params.ssl.model_copy(update={"label_fraction": fraction})).text
    assert ("**Labels of SSL**" in page) == (expected is not None)
    assert expected is None or f"- **Labels of SSL**: {expected}" in page


@pytest.mark.usefixtures("numbers_only")
def test_unequal_budgets_and_warnings_are_on_the_page(params: Params) -> None:
    main(params)
    assert "same budget" not in _page() and "## Warnings" not in _page()
    for seed in params.seeds:
        path = Run("digits", "supervised", seed).log / "cost.json"
        content = json.loads(path.read_text()) | {"warnings": ["a|b `c`\n# <d>"] * (seed == 2)}
        path.write_text(json.dumps(content | {"image_passes": content["image_passes"] // 10}))
    main(params)
    assert "did not have the same budget**: functional used 32,000 image passes, supervised used 3,200." in _page()
    assert "## Warnings\n\n- supervised, seed 2: a\\|b \\`c\\` # \\<d>\n\n" in _page()


def test_text_from_outside_cannot_change_the_markdown() -> None:
    assert escape("a|b\n\n# c `d` <e> *f* [g](h) \\") == "a\\|b # c \\`d\\` \\<e> \\*f\\* \\[g\\](h) \\\\"
    assert escape("p < 0.001") == "p < 0.001"


def test_tables_are_aligned_and_missing_numbers_are_dashes() -> None:
    table = markdown_table(["Mode", "x"], [["a", "1.00"], ["long name", "10.00"]]).splitlines()
    assert len({len(line) for line in table}) == 1 and table[1].startswith("| :--") and table[1].endswith("-: |")
    assert table[2] == "| a         |  1.00 |" and percent(None) == "-"
    assert (p_value(0.0004), p_value(0.25), p_value(float("nan"))) == ("< 0.001", "0.250", "-")
