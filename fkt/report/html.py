"""metrics/report.html: one page that opens without a network; its sentences are in templates/report.html.j2."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fkt.core.arms import NETWORKS, PALETTE
from fkt.data.meta import SPLITS, Meta
from fkt.params import Params
from fkt.params.presets import flat, preset_values, shown
from fkt.raw.notes import data_card, findings
from fkt.report.arms import Arm, Results
from fkt.report.charts import axis, curve_panels, difference_axis
from fkt.report.gallery import make_gallery
from fkt.report.maps_figure import METHODS
from fkt.report.published import PUBLISHED, SOURCE
from fkt.report.statistics import MIN_SEEDS, Comparison
from fkt.report.summary import score
from fkt.report.tables import percent, scaled
from fkt.report.verdict import chosen_arm

FOLDER = Path(__file__).parent / "templates"
MATRIX_CLASSES = 20
"""Most classes for which confusions are a matrix; for more, the most frequent ones are listed."""
LISTED = 25
FEW_TEST = 20
"""Test images of a class below which its recall says little."""
COLUMNS = {
    "accuracy": "Accuracy %",
    "balanced_accuracy": "Balanced accuracy %",
    "precision": "Precision %",
    "recall": "Recall %",
    "f1": "F1 %",
    "auroc": "AUROC %",
    "top5_accuracy": "Top 5 %",
    "calibration_error": "Calibration error %",
    "quadratic_kappa": "Quadratic kappa",
}
CLOSE = 5
"""Most classes that are named beside the worst one."""
CLASS_SCORES = {"recall": "Recall", "precision": "Precision", "f1": "F1", "auroc": "AUROC"}
SUSPECT = (
    "conflicting labels", "copies across splits", "unreadable files", "ignored folders", "cropped images",
    "classes without images",
)  # fmt: skip
"""What may be wrong with the data; see ``fkt.raw.notes.findings``."""
PACKAGES = ("torch", "torchvision", "albumentations", "dvc")
State = Literal["good", "warn", "bad", "note"]


@dataclass(frozen=True)
class Check:
    """One line of the section on what could be wrong."""

    state: State
    title: str
    text: str


def render(
    params: Params,
    results: Results,
    others: Sequence[Comparison],
    signs: Mapping[str, Sequence[str]],
    shared: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
) -> str:
    """Return the page. signs: for each arm, signs that its training failed. shared: see ``page.shared_content``.

    tables: curves, confusion and per_class, as in the CSV files.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"points": _points, "thousands": "{:,.0f}".format, "code": _code}
    arms, classes, decisions = results.arms, results.meta.classes, shared["decisions"]
    comparisons = [*(decision.comparison for decision in decisions), *others]
    declared = [decision.comparison for decision in decisions] or others
    points = difference_axis(comparisons, params.report.margin) if comparisons else None
    gallery = make_gallery(arms, results.maps, [(one.name_a, one.name_b) for one in declared], results.names)
    best = chosen_arm(decisions) or max(arms, key=lambda arm: float(np.mean(arm.kept_val_accuracy))).mode
    known = [key for key in COLUMNS if key != "quadratic_kappa" or params.prepare.ordered]
    known = [key for key in known if any(score(arm.results, key) for arm in arms)]
    data = {"classes": classes, "images": gallery.images, "cells": gallery.cells, "seeds": len(params.seeds)}
    content = {
        **shared,
        "others": others,
        "colors": PALETTE,
        "classes": classes,
        "best": best,
        "names": [(arm.mode, arm.mode) for arm in arms],
        "kinds": [decision.kind for decision in decisions],
        "checks": checks(params, results, signs, shared),
        "comparisons": comparisons,
        "axis": points,
        "cut": points and not all(points.shows(100 * end) for one in comparisons for end in (one.low, one.high)),
        "accuracy": [
            (arm.mode, score(arm.results, "accuracy"), [100 * one["accuracy"] for one in arm.results]) for arm in arms
        ],
        "accuracy_axis": axis([100 * one["accuracy"] for arm in arms for one in arm.results]),
        "columns": [COLUMNS[key] for key in known],
        "rows": [(arm.mode, [_score_cell(arm, key) for key in known]) for arm in arms],
        "per_class": per_class(tables["per_class"], [arm.mode for arm in arms], best),
        "worst": worst_class(tables["per_class"], tables["confusion"], best),
        "class_scores": CLASS_SCORES,
        "confusion": {arm.mode: confusions(arm) for arm in arms},
        "matrix": len(classes) <= MATRIX_CLASSES,
        "gallery": gallery,
        "differ_options": [(f"{a}|{b}", f"{a} right, {b} wrong") for a, b, _ in gallery.differ],
        "map_target": next((model.target for model in results.maps if model.target), None),
        "map_notes": [
            (model.mode, METHODS[model.method], model.layer, model.side) for model in results.maps if model.target
        ],
        "data": Markup(json.dumps(data).replace("<", "\\u003c")),  # noqa: S704 - JSON in which no tag can begin
        "panels": curve_panels(tables["curves"]),
        "sheet": results.sheet,
        "counts": [
            (name, *(results.meta.counts[split][number] for split in SPLITS)) for number, name in enumerate(classes)
        ],
        "card": data_card(results.meta),
        "published": PUBLISHED.get(params.dataset, []),
        "source": SOURCE,
        "duration": duration(_total_seconds(results)),
        "changed": differences(params),
        "provenance": provenance(),
        "style": Markup((FOLDER / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        "script": Markup((FOLDER / "report.js").read_text(encoding="utf-8")),  # noqa: S704 - our own file
    }
    return environment.get_template("report.html.j2").render(content)


def checks(
    params: Params, results: Results, signs: Mapping[str, Sequence[str]], shared: Mapping[str, Any]
) -> list[Check]:
    """Return what a reader should know before believing the verdict, the worst first."""
    counts, seeds = results.meta.counts, len(params.seeds)
    failed = [sentence for found in signs.values() for sentence in found]
    found = [Check("bad", "A training may have failed", f"{sentence}.") for sentence in failed]
    if not failed:
        found.append(
            Check(
                "good",
                "No sign of a failed training",
                "Every arm predicts better than chance, no loss rose or was still falling fast, and no features "
                "collapsed.",
            )
        )
    found += [Check("warn", "Warning of a training", f"{warning}") for warning in shared["warnings"]]
    found.append(
        Check("good", "Enough seeds", f"{seeds} seeds; a verdict needs at least {MIN_SEEDS}.")
        if seeds >= MIN_SEEDS
        else Check("bad", "Too few seeds", f"{_count(seeds, 'seed')}; a verdict needs at least {MIN_SEEDS}.")
    )
    if shared["unequal"]:
        (most, its_most), (least, its_least) = shared["unequal"]
        unit = params.budget.unit
        reason = {"epochs": "pretraining comes on top of the epochs", "labelled_steps": "pretraining comes on top"}.get(
            unit, "runs are rounded to whole steps"
        )
        reason = "a section of params.yaml sets epochs" if shared["own_epochs"] else f"{reason} (`budget.unit: {unit}`)"
        text = f"{most} used {its_most:,.0f} image passes in a run, {least} used {its_least:,.0f}, because {reason}."
        found.append(Check("warn", "Unequal budgets", f"{text} A difference may come from the extra training."))
    else:
        found.append(Check("good", "Equal budgets", f"All arms spent the same (`budget.unit: {params.budget.unit}`)."))
    found.append(_tuning(shared["tuned"]))
    found += _data_checks(results.meta)
    if min(counts["test"]) < FEW_TEST:
        few = [name for name, count in zip(results.meta.classes, counts["test"], strict=True) if count < FEW_TEST]
        text = f"{_count(len(few), 'class').replace('classs', 'classes')} with fewer than {FEW_TEST}, such as {few[0]}"
        found.append(Check("warn", "Few test images", f"{text}: scores of such a class say little."))
    found.append(
        Check(
            "note",
            "Not checked: groups",
            "fkt does not know which images belong together (one patient, one scene, one series). If such images "
            "are in both training and test, all scores are too high. Similar images are not searched for.",
        )
    )
    order: dict[State, int] = {"bad": 0, "warn": 1, "good": 2, "note": 3}
    return sorted(found, key=lambda check: order[check.state])


def _tuning(tuned: Mapping[str, int | None]) -> Check:
    trials = set(tuned.values())
    if trials == {None}:
        return Check("warn", "Untuned", "The settings of no arm were tuned on these data: run `fkt tune`.")
    if None in trials or len(trials) > 1:
        text = ", ".join(f"{mode} {trials or 'none'}" for mode, trials in tuned.items())
        return Check(
            "warn", "Unequal tuning", f"Trials on validation images: {text}. An arm with more has an advantage."
        )
    return Check(
        "good", "Equal tuning", f"Every arm's settings are the best of {trials.pop()} trials on validation images."
    )


def _data_checks(meta: Meta) -> list[Check]:
    found = findings(meta)
    checks = [Check("warn", title.capitalize(), f"{found[title][0]}.") for title in SUSPECT if title in found]
    return checks or [
        Check(
            "good",
            "Clean data",
            "All images could be read, and no two identical images are in different splits or classes.",
        )
    ]


def per_class(rows: pd.DataFrame, modes: Sequence[str], best: str) -> dict[str, list[tuple[str, int, list[Any]]]]:
    """Return for each score a list of class, test images, and mean, low and high in percent (or None) of each arm.

    The class with the lowest score of the arm ``best`` comes first. rows: see ``class_rows``.
    """
    first = list(modes).index(best)
    found: dict[str, list[tuple[str, int, list[Any]]]] = {}
    for key, of_score in rows.groupby("score", sort=False):
        known = of_score.set_index(["mode", "class"])
        images = of_score.drop_duplicates("class").set_index("class")["images"]
        of_classes = [
            (str(name), int(count), [_percents(known, (mode, name)) for mode in modes])
            for name, count in images.items()
        ]
        found[str(key)] = sorted(of_classes, key=lambda row: row[2][first] or (0.0, 0.0, 0.0))
    return found


def _percents(known: pd.DataFrame, key: tuple[str, Any]) -> tuple[float, float, float] | None:
    if key not in known.index:
        return None
    mean, low, high = (100 * float(known.loc[key, name]) for name in ("mean", "low", "high"))
    return mean, low, min(100.0, high)


def worst_class(per_class: pd.DataFrame, confusion: pd.DataFrame, mode: str) -> dict[str, Any] | None:
    """Return the class with the lowest recall of an arm, and the class that its images are most often taken for."""
    own = per_class[(per_class["mode"] == mode) & (per_class["score"] == "recall")]
    if own.empty:
        return None
    row = own.sort_values("mean", kind="stable").iloc[0]
    cells = confusion[(confusion["mode"] == mode) & (confusion["actual"] == row["class"])]
    errors = cells[cells["predicted"] != row["class"]]
    taken = errors.sort_values("images", kind="stable").iloc[-1] if len(errors) else None
    return {
        "mode": mode,
        "name": row["class"],
        "recall": 100 * row["mean"],
        "low": 100 * row["low"],
        "high": min(100.0, 100 * row["high"]),
        "close": own.loc[(own["low"] <= row["mean"]) & (own["class"] != row["class"]), "class"].tolist()[:CLOSE],
        "taken": None if taken is None else (taken["predicted"], 100 * taken["share"]),
    }


def confusions(arm: Arm) -> dict[str, Any]:
    """Return the shares of the predictions of each class in percent, and the most frequent confusions."""
    counts = arm.confusion
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    cells = [(int(cell) // len(counts), int(cell) % len(counts)) for cell in order]
    return {
        "shares": shares.tolist(),
        "counts": counts.tolist(),
        "frequent": [(i, j, int(wrong[i, j]), float(shares[i, j])) for i, j in cells if wrong[i, j]],
    }


def provenance() -> list[tuple[str, str]]:
    """Return which software has made the report."""
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    # No commit: the page would change with every commit, and DVC would find it changed.
    return [
        ("Software of this report", ", ".join(versions)),
        ("git commit of a training", "`revision` in `models/ARM/sSEED/card.json`, with all of its parameters"),
    ]


def duration(seconds: float) -> str:
    """Return a time in the unit that people would use."""
    for limit, size, unit in ((100, 1, "seconds"), (100 * 60, 60, "minutes"), (72 * 3600, 3600, "hours")):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}" if size > 1 else f"{seconds:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def differences(params: Params) -> list[tuple[str, str, str]]:
    """Return key, value in the dataset's preset, and our value for each parameter that differs."""
    preset = preset_values(params.dataset)
    unused = {network.section for network in NETWORKS.values()}
    unused -= {NETWORKS[name].section for name in params.trained}
    ours = dict(flat(params.model_dump(by_alias=True, mode="json")))
    return [
        (key, shown(preset.get(key)), shown(value))
        for key, value in ours.items()
        if preset and preset.get(key) != value and key.split(".")[0] not in {"tuning", *unused}
    ]


def _score_cell(arm: Arm, key: str) -> tuple[float, str]:
    """Return a score as a number to sort by and as text; kappa is not a share."""
    found = score(arm.results, key)
    text = scaled(found, 1, 3) if key == "quadratic_kappa" else percent(found)
    return found.mean if found else -1.0, text


def _total_seconds(results: Results) -> float:
    """Return the seconds of all trainings, of which a pretraining that several arms start from counts once."""
    spent = {
        (part["stage"], seed): part["seconds"]
        for arm in results.arms
        for seed, parts in zip(arm.seeds, arm.costs, strict=True)
        for part in parts
    }
    return math.fsum(spent.values())


def _points(fraction: float) -> str:
    """Return a fraction in points with its sign; the minus is typographic."""
    return f"{100 * fraction:+.1f}".replace("-", "\u2212")


def _code(text: str) -> Markup:
    """Return text with parts in backquotes as HTML code; everything is escaped."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
