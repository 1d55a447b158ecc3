"""metrics/report.html: its numbers and texts, and its behavior in a browser without a network."""

import html as entities
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import recall_score

from fkt.core.arms import ARMS
from fkt.params import Params, Report
from fkt.report import html
from fkt.report.arms import Results
from fkt.report.charts import axis, curve_panels, difference_axis, log_axis
from fkt.report.checks import arm_failures
from fkt.report.gallery import make_gallery
from fkt.report.page import shared_content
from fkt.report.statistics import Comparison, Spread
from fkt.report.summary import class_rows, compare_arms, confusion_rows, curve_rows
from fkt.report.verdict import decide, next_steps
from tests.conftest import BROWSER


def _render(params: Params, results: Results, **changes: Any) -> str:
    results = replace(results, meta=replace(results.meta, **changes))
    arms, classes = results.arms, results.meta.classes
    contrasts, others = compare_arms(arms, params.report)
    signs = {arm.mode: arm_failures(arm, results.meta.counts["train"]) for arm in arms}
    failed = [mode for mode, found in signs.items() if found]
    decisions = decide(contrasts, params.report, num_images=len(arms[0].labels), failed=failed)
    tables = {"curves": curve_rows(arms), "confusion": confusion_rows(arms, classes)}
    tables["per_class"] = class_rows(arms, classes, 0.95)
    shared = shared_content(params, results, decisions, others, signs)
    return html.render(params, results, others, signs, shared, tables)


@pytest.fixture(scope="module")
def page(all_params: Params, results: Results) -> str:
    return _render(all_params, results)


def _text(page: str, section: str) -> str:
    """Return the text of a section as people see it."""
    inside = page.split(f'<section id="{section}">')[1].split("</section>")[0]
    return " ".join(entities.unescape(re.sub(r"<[^>]+>", " ", inside)).split())


def test_names_from_outside_are_text_and_never_markup(page: str, results: Results) -> None:
    assert any("<d>" in name for name in results.meta.classes)
    assert "<d>" not in page and "&lt;d&gt;" in page and "\\u003cd>" in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["classes"] == results.meta.classes


def test_nothing_is_fetched(page: str) -> None:
    assert "default-src 'none'" in page
    assert set(re.findall(r'(?:src|href)="([a-z]+:)', page)) <= {"data:"}
    assert not re.search(r"url\(|@import|\bfetch\(|XMLHttpRequest|https?://(?!www\.w3\.org)", page)


def test_the_worst_class_is_that_of_scikit_learn(page: str, results: Results) -> None:
    text, classes = _text(page, "classes"), results.meta.classes
    mode = re.match(r".*In the arm (\w+),", text)
    assert mode is not None
    arm = next(arm for arm in results.arms if arm.mode == mode[1])
    recall = np.mean([recall_score(arm.labels, one, average=None) for one in arm.predicted], axis=0)
    name = " ".join(classes[int(recall.argmin())].split())
    assert f"{name} has the lowest recall: {100 * recall.min():.1f} %" in text


def test_the_pictures_are_those_that_are_most_confidently_wrong(results: Results) -> None:
    gallery = make_gallery(results.arms, results.maps, [("functional", "supervised")], results.names)
    ids = results.maps[0].ids.tolist()
    for arm in results.arms:
        mean = arm.probabilities.mean(axis=0)
        wrong = [
            (mean[row].max(), number)
            for row, number in enumerate(arm.ids.tolist())
            if number in ids and mean[row].argmax() != arm.labels[row]
        ]
        expected = [results.names[number] for _, number in sorted(wrong, reverse=True)[:8]]
        shown = [gallery.images[position] for position in gallery.wrong[arm.mode]]
        assert [image["file"] for image in shown] == expected
        assert all(image["arms"][arm.mode]["predicted"] != image["actual"] for image in shown)
    for a, b, positions in gallery.differ:
        for image in (gallery.images[position] for position in positions):
            assert image["arms"][a]["predicted"] == image["actual"] != image["arms"][b]["predicted"]


def test_what_could_be_wrong_is_said(all_params: Params, results: Results) -> None:
    notes = {
        "conflicting_labels": [{"a.png": "x", "b.png": "y"}],
        "skipped": ["c.png: cut short"],
        "duplicates": {"groups": 2, "images": 5, "dropped": []},
        "conflicts_across_splits": 0,
    }
    text = _text(_render(all_params, results, notes=notes), "checks")
    assert "problem Too few seeds. 2 seeds; a verdict needs at least 5." in text
    assert "check Conflicting labels. 1 group of identical images, 0 of them across splits" in text
    assert "check Unreadable files. 1 left out." in text
    assert text.index("problem") < text.index("! check") < text.index("fine") < text.index("unknown")
    clean = _text(_render(all_params, results), "checks")
    assert "Conflicting" not in clean and "fine Clean data." in clean and "unknown Not checked: groups." in clean
    counts = results.meta.counts | {"train": [500, 80, 80, 50]}
    for test, largest, expected in (
        (40, 7, "fine Groups. 200 groups, 40 of them in the test set ( prepare.groups ). No group is in two splits"),
        (8, 7, "check Few test groups. 200 groups, 8 of them"),
        (40, 1, "check Groups of one image. 200 groups, 40 of them"),
    ):
        note = {"rule": r"pattern:<(\d)>", "count": 200, "sizes": [1, 1, largest], "test": test}
        note |= {"alone": 0, "several_classes": 0, "dropped": []}
        text = _text(_render(all_params, results, notes={"groups": note}, counts=counts), "checks")
        assert expected in text and "check Unequal classes. 500 training images of proliferative" in text


def test_the_axis_has_round_ticks_around_all_values() -> None:
    assert axis([40.2, 64.9]).ticks == [40.0, 45.0, 50.0, 55.0, 60.0, 65.0]
    assert axis([0.0, 0.0]).low < axis([0.0, 0.0]).high
    ticks = log_axis([np.log10(0.6), np.log10(30)]).ticks
    np.testing.assert_allclose([10**tick for tick in ticks], [0.5, 1, 2, 5, 10, 20, 50])


def test_a_very_wide_interval_does_not_stretch_the_axis() -> None:
    wide = Comparison("a", "b", 0.02, -0.88, 0.92, 0.9, Spread(0.1, 0.1, 0.1), [0.01, 0.03])
    points = difference_axis([wide], margin=1.0)
    assert points.low >= -10 and points.high <= 10 and not points.shows(-88) and points.place(-88) == 0
    assert points.shows(3) and points.shows(-1)


def test_curves_have_a_line_for_every_seed_and_the_mean(results: Results) -> None:
    drawn = dict(curve_panels(curve_rows(results.arms)))
    accuracy = drawn["Validation accuracy (%)"]
    assert accuracy.count('class="seed"') == 2 * len(ARMS) and accuracy.count('class="mean"') == len(ARMS)
    assert "Weight of the self-supervised loss" in drawn and "Gradient norm, SSL / CE (log scale)" in drawn
    constant = curve_rows(results.arms).assign(weight_ssl=0.5)
    assert "Weight of the self-supervised loss" not in dict(curve_panels(constant))
    assert not curve_panels(pd.DataFrame(columns=constant.columns, data=constant.iloc[:0]))


def test_what_to_do_next_follows_from_the_verdict() -> None:
    def steps(low: float, high: float, seeds: int, untuned: tuple[str, ...] = (), third: Any = None) -> str:
        pairs = [("functional", "supervised", low, high), ("functional", "representational", low, high)]
        pairs += [("representational", "supervised", *third)] if third else []
        spread = Spread(0.01, 0.05, 0.1)
        found = [Comparison(a, b, (x + y) / 2, x, y, 0.1, spread, [0.0] * seeds) for a, b, x, y in pairs]
        report = Report(metric="accuracy", contrasts=["functional - supervised"], margin=1.0, confidence=0.95)
        decisions = decide(found, report, num_images=5000, failed=())
        return "\n".join(next_steps(decisions, seeds, untuned))

    assert "fkt predict models/functional photo.png" in steps(0.02, 0.05, 8)
    assert "add `representational - supervised` to `report.contrasts`" in steps(-0.05, -0.02, 8)
    assert "report.contrasts" not in steps(-0.05, -0.02, 8, third=(0.02, 0.05))
    assert "fkt predict models/representational photo.png" in steps(-0.05, -0.02, 8, third=(0.02, 0.05))
    assert "fkt predict models/supervised photo.png" in steps(-0.05, -0.02, 8, third=(-0.05, -0.02))
    assert "To decide between functional and supervised, you need about" in steps(-0.01, 0.03, 8)
    assert "(now 3)" in steps(0.02, 0.05, 3) and "predict" not in steps(0.02, 0.05, 3)
    assert "Nobody has tuned supervised and functional" in steps(0.02, 0.05, 8, ("supervised", "functional"))


CLICKS = """
<script>
addEventListener("load", () => {
  const errors = [];
  const seen = {};
  try {
    const all = query => [...document.querySelectorAll(query)];
    const heading = all("#scores table.sortable th")[1];
    const column = () => all("#scores table.sortable tbody tr").map(row => Number(row.cells[1].dataset.value));
    heading.querySelector("button").click(); seen.down = column();
    heading.querySelector("button").click(); seen.up = column();
    document.querySelector('[data-choice="score"] button[value="f1"]').click();
    seen.scores = all('[data-part="score"]').filter(part => !part.hidden).map(part => part.dataset.value);
    const box = document.querySelector("[data-toggle]"); box.click();
    seen.hidden = all("svg [data-arm]").filter(line => line.style.display === "none").map(line => line.dataset.arm);
    seen.toggled = box.dataset.toggle;
    document.querySelector("button[data-cell]").click();
    seen.pictures = all("#cell-images figure").length;
    seen.wrong = all("#images figure").length;
    seen.wide = document.documentElement.scrollWidth > innerWidth + 1;
  } catch (error) { errors.push(String(error)); }
  document.body.innerHTML = "";
  const result = document.createElement("pre"); result.id = "result";
  const requests = performance.getEntriesByType("resource").map(one => one.name);
  result.textContent = JSON.stringify({errors, seen, requests});
  document.body.append(result);
});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome here")
@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_works_in_a_browser_without_a_request(page: str, width: int, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page.replace("</body>", f"{CLICKS}</body>"), encoding="utf-8")
    command = [str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--dump-dom", path.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    result = json.loads(entities.unescape(re.search(r'<pre id="result">(.*?)</pre>', found.stdout, re.DOTALL)[1]))
    assert "CONSOLE" not in found.stderr
    seen = result["seen"]
    assert not result["errors"] and not [name for name in result["requests"] if not name.startswith("data:")]
    assert seen["down"] == sorted(seen["down"], reverse=True) and seen["up"] == sorted(seen["up"])
    assert seen["scores"] == ["f1"] and set(seen["hidden"]) == {seen["toggled"]}
    assert seen["pictures"] > 0 and seen["wrong"] > 0 and not seen["wide"]
