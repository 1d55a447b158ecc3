"""The model card: README.md with YAML at its beginning, as model hubs read it. model_card.md.j2 has its sentences."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fkt.core.arms import NETWORKS
from fkt.core.files import one_line
from fkt.core.runs import CHOSEN, METRICS, MODELS
from fkt.evaluation.trained import TrainedModel
from fkt.report.page import escape
from fkt.report.tables import markdown_table

PER_CLASS = METRICS / "per_class.csv"
CLASS_SCORES = ("precision", "recall", "f1")


def model_card(model: TrainedModel, differences: Mapping[str, float], license_name: str) -> str:
    """Return the text of a model card, with the results of the project that the model lies in.

    differences: for each exported file, the largest difference of its logits from torch's.
    """
    card, results = model.card, results_of(model)
    environment = Environment(  # noqa: S701 - Markdown: the template escapes with its filter md
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"md": safe, "thousands": "{:,.0f}".format}
    content = {
        "card": card,
        "about": NETWORKS[card.mode].about,
        "seeds": [one.seed for one in model.cards],
        "differences": differences,
        "results": results,
        "scores": score_table(results) if results else "",
        "per_class": class_table(card.mode, results["confidence"]) if results else "",
    }
    front = yaml.safe_dump(front_matter(model, results, license_name), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n{environment.get_template('model_card.md.j2').render(content)}"


def safe(text: object) -> str:
    """Return text from outside without control characters, and with everything escaped that Markdown interprets."""
    return escape(one_line(str(text)))


def results_of(model: TrainedModel) -> dict[str, Any] | None:
    """Return metrics/model.json if it is about this model: one that lies in models/, of the arms and data compared."""
    if not CHOSEN.is_file() or not model.folder.resolve().is_relative_to(MODELS.resolve()):
        return None
    results: dict[str, Any] = json.loads(CHOSEN.read_text(encoding="utf-8"))
    known = results["dataset"] == model.card.dataset and model.card.mode in results["scores"]
    return results if known else None


def front_matter(model: TrainedModel, results: Mapping[str, Any] | None, license_name: str) -> dict[str, Any]:
    """Return the fields that hubs of models read; the score is that of the model as it is used."""
    card = model.card
    front: dict[str, Any] = {
        "license": license_name,
        "library_name": "fkt",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "onnx", card.model["backbone"], card.mode],
        "datasets": [card.dataset],
    }
    if results:
        scores, kind = results["scores"][card.mode], "ensemble" if len(model.cards) > 1 else "mean"
        metric = {"type": results["metric"], "value": scores[kind]}
        dataset = {"name": card.dataset, "type": card.dataset, "split": "test"}
        task = {"type": "image-classification"}
        found = [{"task": task, "dataset": dataset, "metrics": [metric]}]
        front |= {
            "metrics": [results["metric"]],
            "model-index": [{"name": f"{card.mode} {card.dataset}", "results": found}],
        }
    return front


def score_table(results: Mapping[str, Any]) -> str:
    """Return the scores of all arms as a Markdown table."""
    interval = f"{100 * results['confidence']:g} % interval"
    header = ["Arm", f"Mean {results['metric'].replace('_', ' ')} of a seed", interval, "Seeds together", "Seeds"]
    rows = [
        [mode, f"{one['mean']:.4f}", f"{one['low']:.4f} to {one['high']:.4f}", f"{one['ensemble']:.4f}",
         str(one["seeds"])]
        for mode, one in results["scores"].items()
    ]  # fmt: skip
    return markdown_table(header, rows)


def class_table(mode: str, confidence: float) -> str:
    """Return the scores of an arm for each class as a Markdown table; empty without per_class.csv."""
    if not PER_CLASS.is_file():
        return ""
    rows = pd.read_csv(PER_CLASS, dtype={"class": str}, keep_default_na=False)
    rows = rows[rows["mode"] == mode]
    table = []
    for name, of_class in rows.groupby("class", sort=False):
        found = of_class.set_index("score")
        cells = (found.loc[score] for score in CLASS_SCORES if score in found.index)
        shown = [f"{one['mean']:.3f} ({one['low']:.3f} to {min(1.0, one['high']):.3f})" for one in cells]
        table.append([safe(str(name)), str(of_class["images"].iloc[0]), *shown])
    titles = [f"{score.capitalize()} ({100 * confidence:g} % interval)" for score in CLASS_SCORES]
    return markdown_table(["Class", "Test images", *titles], table)
