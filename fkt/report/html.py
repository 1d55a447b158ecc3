"""metrics/report.html: one page that opens without a network; its sentences are in templates/report.html.j2."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from fkt.core.arms import NETWORKS, PALETTE
from fkt.core.progress import in_words
from fkt.data.meta import SPLITS
from fkt.params import Params
from fkt.params.presets import flat, preset_values, shown
from fkt.raw.notes import data_card
from fkt.report.arms import Arm, Results
from fkt.report.charts import axis, curve_panels, difference_axis
from fkt.report.chosen import arm_in_use
from fkt.report.gallery import make_gallery
from fkt.report.maps_figure import METHODS
from fkt.report.page import FOLDER, environment
from fkt.report.page_checks import checks
from fkt.report.published import PUBLISHED, SOURCE
from fkt.report.statistics import Comparison
from fkt.report.summary import score
from fkt.report.tables import percent, scaled

MATRIX_CLASSES = 20
"""Most classes for which confusions are a matrix; for more, the most frequent ones are listed."""
LISTED = 25
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
PACKAGES = ("torch", "torchvision", "albumentations", "dvc")


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
    pages = environment(autoescape=True)
    pages.filters |= {"points": _points, "code": _code}
    arms, classes, decisions = results.arms, results.meta.classes, shared["decisions"]
    comparisons = [*(decision.comparison for decision in decisions), *others]
    declared = [decision.comparison for decision in decisions] or others
    points = difference_axis(comparisons, params.report.margin) if comparisons else None
    gallery = make_gallery(arms, results.maps, [(one.name_a, one.name_b) for one in declared], results.names)
    best, _ = arm_in_use(arms, decisions)
    known = [key for key in COLUMNS if any(score(arm.results, key) for arm in arms)]
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
        "percent_columns": [f"{arm.mode} %" for arm in arms],
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
        "duration": in_words(_total_seconds(results)),
        "changed": differences(params),
        "provenance": provenance(),
        "style": Markup((FOLDER / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        "script": Markup((FOLDER / "report.js").read_text(encoding="utf-8")),  # noqa: S704 - our own file
    }
    return pages.get_template("report.html.j2").render(content)


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
