"""Stage report: the comparison as numbers, a page, figures and tables for plots, from the files of all runs.

Usage: python -m stages.report
"""

import json

from fkt.core.errors import reported
from fkt.core.files import write_text
from fkt.core.runs import CHOSEN, FIGURES, METRICS, remove_other_results
from fkt.params import Params, load_params
from fkt.report import html, page
from fkt.report.arms import read_results
from fkt.report.checks import arm_failures
from fkt.report.chosen import model_in_use
from fkt.report.maps_figure import draw_maps
from fkt.report.predictions import csv_text, prediction_rows
from fkt.report.summary import (
    class_rows,
    compare_arms,
    confusion_rows,
    cost_rows,
    curve_rows,
    headline,
    summarize,
    validation,
)
from fkt.report.terminal import PAGE, shown
from fkt.report.verdict import decide


def main(params: Params) -> None:
    """Write all files under metrics/ that people, ``dvc metrics`` and ``dvc plots`` read."""
    remove_other_results(params.modes, params.seeds, params.transfer.datasets)
    results = read_results(params)
    arms, classes = results.arms, results.meta.classes
    contrasts, others = compare_arms(arms, params.report)
    signs = {arm.mode: arm_failures(arm, results.meta.counts["train"]) for arm in arms}
    failed = [mode for mode, found in signs.items() if found]
    decisions = decide(contrasts, params.report, num_images=len(arms[0].labels), failed=failed)
    shared = page.shared_content(params, results, decisions, others, signs)
    text = page.render(shared)
    numbers = {"validation": validation(arms), "test": headline(arms, params.report.metric, contrasts)}
    numbers["summary"] = summarize(results, [*contrasts, *others])
    numbers[CHOSEN.stem] = model_in_use(params, results, shared)
    for name, content in numbers.items():
        write_text(METRICS / f"{name}.json", json.dumps(content, indent=2) + "\n")
    write_text(METRICS / "report.md", text)

    tables = {"curves": curve_rows(arms), "confusion": confusion_rows(arms, classes), "costs": cost_rows(results)}
    tables["per_class"] = class_rows(arms, classes, params.report.confidence)
    tables["predictions"] = prediction_rows(arms, classes, results.names)
    for name, table in tables.items():
        write_text(METRICS / f"{name}.csv", csv_text(table))
    write_text(PAGE, html.render(params, results, others, signs, shared, tables))
    draw_maps(results.maps, classes, params.cam.images, shared["title"], FIGURES / "maps.png", seed=params.seeds[0])
    print(f"\n{shown(text)}\n\nThe whole report: open {PAGE} in a browser")


if __name__ == "__main__":
    with reported():
        main(load_params())
