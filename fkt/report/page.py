"""metrics/report.md: computes the numbers of the page; its sentences are in templates/report.md.j2."""

import itertools
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fkt.core.arms import NETWORKS, PRETRAINED, UNTRAINED
from fkt.params import Params, tuned_trials
from fkt.report.arms import Arm, Results
from fkt.report.checks import majority_scores
from fkt.report.conditions import conditions, title
from fkt.report.statistics import Comparison
from fkt.report.summary import Cost, cost, score, spread
from fkt.report.tables import PLUS_MINUS, markdown_table, p_value, percent, scaled
from fkt.report.verdict import Decision, answer, next_steps, sentence

FOLDER = Path(__file__).parent / "templates"
LOSSES = ("weight_ce", "weight_ssl", "grad_cosine", "grad_norm_ratio")
"""Columns of the learning curve of the joint run that compare its losses."""
SCORE_HEADER = ("Arm", "Accuracy %", "Precision %", "Recall %", "Seeds")
UNEQUAL = 1.02
"""Ratio of what two arms spent of the budget from which the page says that they differ."""


def render(content: Mapping[str, Any]) -> str:
    """Return report.md. content: see ``shared_content``."""
    markdown = environment(autoescape=False)  # the template escapes with its filter md
    markdown.filters["md"] = escape
    markdown.globals |= {"table": _table, "plus_minus": PLUS_MINUS, "score_header": SCORE_HEADER}
    return _joined(markdown.get_template("report.md.j2").render(content)) + "\n"


def environment(*, autoescape: bool) -> Environment:
    """Return what reads the templates; a name that they do not get is an error."""
    options: dict[str, Any] = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    found = Environment(loader=FileSystemLoader(FOLDER), autoescape=autoescape, **options)  # noqa: S701 - of Markdown
    found.filters["thousands"] = "{:,.0f}".format
    return found


def escape(text: object) -> str:
    r"""Return text from outside with everything escaped that Markdown would interpret: ``a|b`` as ``a\|b``."""
    return re.sub(r"([\\`*_\[\]|]|<(?! ))", r"\\\1", " ".join(str(text).split()))


def shared_content(
    params: Params,
    results: Results,
    decisions: Sequence[Decision],
    others: Sequence[Comparison],
    signs: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return the numbers, tables and sentences of report.md and of the page.

    signs: for each arm, signs that its training failed; see checks.py.
    """
    arms, counts = results.arms, results.meta.counts
    images = {split: sum(counts[split]) for split in ("train", "val", "test")}
    num_labelled = sum(map(params.labels.count, counts["train"]))
    costs = {arm.mode: cost(arm) for arm in arms}
    by_passes = sorted(costs, key=lambda mode: costs[mode].image_passes)
    least, most = ((mode, costs[mode].image_passes) for mode in (by_passes[0], by_passes[-1]))
    named = {arm.mode: arm.results for arm in arms}
    probed = named | ({PRETRAINED: results.pretrained} if results.pretrained else {})
    tuned = {arm.mode: tuned_trials(params, arm.mode) for arm in arms}
    teacher = _teacher(results.clusters) if results.clusters else None
    return {
        "title": title(params),
        "params": params.model_dump(),
        "arms": {arm.mode: NETWORKS[arm.mode].about for arm in arms},
        "num_classes": len(results.meta.classes),
        "image_size": results.meta.image_size,
        "images": images,
        "answer": answer(decisions, others),
        "sentences": [sentence(decision, params.report) for decision in decisions],
        "steps": next_steps(decisions, len(params.seeds), [mode for mode, trials in tuned.items() if not trials]),
        "failures": list(itertools.chain.from_iterable(signs.values())),
        "decisions": decisions,
        "contrasts": [_cells(decision.comparison) for decision in decisions],
        "others": [_cells(found) for found in others],
        "metric": params.report.metric.replace("_", " "),
        "unequal": (most, least) if params.budget.unit != "flops" and most[1] > UNEQUAL * least[1] else None,
        "own_epochs": any(part["budget"] == "own_epochs" for arm in arms for parts in arm.costs for part in parts),
        "tuned": tuned,
        "majority": f"{100 * majority_scores(counts['train'], arms[0].labels)['accuracy']:.2f}",
        "initial": "ImageNet" if results.untrained[0]["weights"] == "imagenet" else "untrained",
        "neighbors": results.untrained[0]["knn_neighbors"],
        "scores": [[*row, str(len(params.seeds))] for row in score_rows(named, "accuracy", "precision", "recall")],
        "probes": score_rows(probed | {UNTRAINED: results.untrained}, "knn_accuracy", "linear_accuracy"),
        "transfers": score_rows(results.transfers, "knn_accuracy", "linear_accuracy"),
        "losses": _losses(arms),
        "costs": [[mode, *_cost_cells(spent, images["train"])] for mode, spent in costs.items()],
        "stages": {
            mode: [(name, f"{passes / images['train']:.1f}", _tera(flops)) for name, passes, flops in spent.stages]
            for mode, spent in costs.items()
            if len(spent.stages) > 1
        },
        "hardware_used": sorted({used for spent in costs.values() for used in spent.hardware}),
        "conditions": conditions(params, images, num_labelled, teacher),
        "warnings": [warning for arm in arms for warning in arm.warnings],
    }


def _joined(text: str) -> str:
    """Join the lines of each paragraph and list item, and leave one blank line where there are several."""
    text = re.sub(r"\s*\n\s*\n\s*", "\n\n", text.strip())
    return re.sub(r"(?<![\n ]) *\n *(?=[^\s#|!])(?!- )", " ", text)


def _cells(found: Comparison) -> list[str]:
    """Return a comparison as a row of a table."""
    interval = f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"
    seeds = f"{min(found.by_seed) * 100:+.1f} ... {max(found.by_seed) * 100:+.1f}"
    return [f"{found.name_a} - {found.name_b}", f"{100 * found.difference:+.2f}", interval, p_value(found.p), seeds]


def _losses(arms: Sequence[Arm]) -> list[list[str]]:
    """Return first, mean and last number of each column of LOSSES; none if an arm has no such number.

    Each number is a row of the learning curve, which is an average over training steps. Deviations are over seeds.
    """
    curves = [curve for arm in arms if arm.mode == "functional" for _, curve in arm.curves.groupby("seed")]
    rows = []
    for name in LOSSES:
        known = [curve[name].dropna() for curve in curves if name in curve and curve[name].notna().any()]
        if curves and len(known) == len(curves):
            numbers = zip(*((values.iloc[0], values.mean(), values.iloc[-1]) for values in known), strict=True)
            rows.append([name, *(scaled(spread(over_seeds), 1, 3) for over_seeds in numbers)])
    return rows


def _cost_cells(spent: Cost, num_train: int) -> list[str]:
    """Return the numbers of an arm in the table of costs. num_train: training images, with or without labels."""
    return [
        f"{spent.image_passes / num_train:.1f}",
        f"{spent.image_passes:,.0f}",
        _tera(spent.flops),
        scaled(spent.seconds, 1, 1),
        f"{spent.images_per_second:,.0f}",
        f"{spent.peak_memory_mb:,.0f}",
    ]


def _tera(flops: float) -> str:
    return f"{flops / 1e12:,.3g}" if flops < 1e15 else f"{flops / 1e12:,.0f}"


def _teacher(clusters: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the teacher's network and its clusters, as means over seeds."""
    means = {name: statistics.fmean(found[name] for found in clusters) for name in ("used", "entropy")}
    return {**clusters[0]["teacher"], "clusters": clusters[0]["clusters"], **means}


def score_rows(named: Mapping[str, Sequence[dict[str, Any]]], *names: str) -> list[list[str]]:
    """Return a row for each mode or dataset, with scores in percent."""
    return [[mode, *(percent(score(results, name)) for name in names)] for mode, results in named.items()]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], names: Mapping[str, str] | None = None) -> str:
    """Return a Markdown table. names: other names for first cells."""
    cells = [[(names or {}).get(first, first), *others] for first, *others in rows]
    return markdown_table(header, [[escape(cell) for cell in row] for row in cells])
