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
        "per_class": class_rows(card.mode) if results else [],
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
        **({} if card.dataset == "folder" else {"datasets": [card.dataset]}),
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


def class_rows(mode: str) -> list[tuple[str, int, list[tuple[float, float, float]]]]:
    """Return name and test images of each class, and mean, low and high of its CLASS_SCORES; none without the file."""
    if not PER_CLASS.is_file():
        return []
    table = pd.read_csv(PER_CLASS, dtype={"class": str}, keep_default_na=False)
    table = table[(table["mode"] == mode) & table["score"].isin(CLASS_SCORES)]
    return [
        (str(name), int(rows["images"].iloc[0]), list(rows[["mean", "low", "high"]].itertuples(index=False, name=None)))
        for name, rows in table.groupby("class", sort=False)
    ]
