"""Stage report: the comparison as numbers, a page, figures and plot data, from what the runs left behind.

Usage: python -m stages.report
"""

from __future__ import annotations

import json

from fkt.core.arms import PRETRAINED
from fkt.core.errors import reported
from fkt.core.files import write_text
from fkt.core.runs import FIGURES, METRICS, remove_other_results
from fkt.params import Params, load_params
from fkt.report import plot_data
from fkt.report.arms import read_arms, read_clusters, read_meta, read_pretrained, read_pretraining, read_transfer
from fkt.report.confusion_figure import draw_confusion
from fkt.report.drawn_maps import read_maps
from fkt.report.figures import draw_accuracy, draw_curves
from fkt.report.maps_figure import draw_maps
from fkt.report.report import Findings, headline, render
from fkt.report.summary import compare_arms, summarize, summarize_transfers


def main(params: Params) -> None:
    """Write everything under metrics/ that a person or ``dvc metrics`` and ``dvc plots`` read."""
    remove_other_results(params.modes, params.seeds, params.transfer.datasets)
    modes = params.arms
    arms = read_arms(params.dataset, modes, params.seeds)
    pretrained = read_pretrained(params.dataset, params.seeds) if PRETRAINED in params.modes else []
    clusters = read_clusters(params.dataset, params.seeds) if "distilled" in modes else []
    transfers = {str(dataset): read_transfer(dataset, params.seeds) for dataset in params.transfer.datasets}
    comparisons = compare_arms(arms, params.report)
    findings = Findings(params, read_meta(params.dataset), arms, pretrained, clusters, comparisons, transfers=transfers)
    classes = findings.meta["classes"]
    drawn = [read_maps(mode) for mode in ([PRETRAINED, *modes] if pretrained else modes)]

    summary = summarize(arms, pretrained, findings.comparisons) | summarize_transfers(transfers)
    write_text(METRICS / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_text(METRICS / "report.md", render(findings))
    pretraining = (
        dict(zip(params.seeds, read_pretraining(params.dataset, params.seeds), strict=True)) if pretrained else {}
    )
    tables = {
        "curves": plot_data.curve_rows(arms),
        "confusion": plot_data.confusion_rows(arms, classes),
        "costs": plot_data.cost_rows(arms, pretraining),
    }
    for name, table in tables.items():
        write_text(METRICS / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    draw_accuracy(arms, findings.title, FIGURES / "accuracy.png")
    draw_curves(arms, findings.title, FIGURES / "curves.png")
    draw_confusion(arms, classes, findings.title, FIGURES / "confusion.png")
    draw_maps(drawn, classes, params.cam.images, findings.title, FIGURES / "maps.png", seed=params.seeds[0])
    print(f"\n{headline(findings)}\n\nThe whole report: {METRICS / 'report.md'}; its figures: {FIGURES}/*.png")


if __name__ == "__main__":
    with reported():
        main(load_params())
