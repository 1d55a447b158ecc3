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
from fkt.report.page import escape, render
from fkt.report.statistics import Comparison
from fkt.report.tables import markdown_table, p_value, percent
from fkt.training.labels import labelled_index
from stages.report import main
from tests.report.fabricated import fabricate, fabricated_params, results_of


def _page() -> str:
    return Path("metrics/report.md").read_text(encoding="utf-8")


def _comparison(low: float, high: float, p_images: float, name_b: str = "supervised") -> Comparison:
    return Comparison("functional", name_b, (low + high) / 2, low, high, 0.004, p_images, p_seeds=0.25)


@pytest.fixture
def page_of(results: Results, all_params: Params):
    """A function that returns the page of all arms with some comparisons and changed parameters."""
    return lambda *comparisons, **changes: render(all_params.model_copy(update=changes), results, comparisons)


@pytest.fixture
def conclusion(page_of):
    """A function that returns the conclusion on comparisons, in one line."""

    def conclude(*comparisons: Comparison, num_seeds: int = 3) -> str:
        page = page_of(*comparisons, seeds=list(range(num_seeds)))
        text = " ".join(page.text.split("## Conclusion")[1].split("## Test scores")[0].split())
        assert text in " ".join(page.headline.split()), "the terminal shows it too"
        return text

    return conclude


def test_the_conclusion_names_the_better_arm_whichever_was_subtracted(conclusion) -> None:
    numbers = "by 3.10 points (95 % interval: 1.20 to 5.00; p = 0.004 over images and seeds, p < 0.001 over images)"
    ahead = conclusion(_comparison(0.012, 0.05, 0.0001))
    behind = conclusion(_comparison(-0.05, -0.012, 0.0001))
    assert f"Significant: functional is more accurate than supervised, {numbers}." in ahead
    assert f"Significant: supervised is more accurate than functional, {numbers}." in behind
    assert "Undecided:" not in ahead + behind


def test_the_conclusion_says_how_far_undecided_arms_may_differ(conclusion) -> None:
    text = conclusion(_comparison(-0.01, 0.03, 0.2))
    assert "Undecided: functional and supervised. The difference is +1.00 points" in text and "Significant:" not in text
    assert "functional may be from 1.00 points worse to 3.00 points better than supervised (95 % interval;" in text
    for sign, better, worse in ((1, "functional", "supervised"), (-1, "supervised", "functional")):
        text = conclusion(_comparison(*sorted((sign * 0.01, sign * 0.03)), p_images=0.2))
        assert f"{better} may be from 1.00 to 3.00 points better than {worse}" in text
    assert "right about the same images. How far they may differ is unknown." in conclusion(_comparison(0.0, 0.0, 1.0))
    many = conclusion(*(_comparison(-0.01, 0.03, 0.2, name_b=arm) for arm in ARMS[:4]))
    pairs = "; ".join(f"functional and {arm}" for arm in ARMS[:4])
    assert f"Undecided: {pairs}. The table" in many


def test_the_conclusion_has_the_adjusted_p_values(conclusion) -> None:
    text = conclusion(_comparison(0.01, 0.05, 0.02), _comparison(-0.01, 0.05, 0.2, name_b="representational"))
    assert "p = 0.008 over images and seeds, p = 0.040 over images)" in text
    assert "(adjusted for 2 comparisons by Holm's method)" in text and "Each interval is for its own comparison" in text
    assert "Holm" not in conclusion(_comparison(0.01, 0.05, 0.02))


def test_the_conclusion_says_what_few_seeds_cannot_show(conclusion) -> None:
    three, six, one = (conclusion(_comparison(0.01, 0.05, 0.001), num_seeds=count) for count in (3, 6, 1))
    assert "From only 3 seeds" in three and "below 0.25 with 3 seeds. So no difference" in three
    assert "with 6 seeds it could" in three
    assert "below 0.031 with 6 seeds." in six and "only" not in six and "it could" not in six
    assert "only one seed" in one and "with another seed may differ by more" in one and "other seeds" not in one


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
    assert "(2,000 random draws of images and of seeds" in page
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
    assert set(summary) == {arm} and not any(name.endswith("_std") for name in summary[arm])
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
    page = render(all_params.model_copy(update={"labels": budget}), replace(results, meta=meta), [])
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
