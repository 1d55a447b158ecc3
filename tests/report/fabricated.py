"""Writes made-up files of a whole comparison, with the paths and formats of the stages; nothing is trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support

from fkt.core.arms import PRETRAINED, STUDENT, TEACHER, UNTRAINED
from fkt.core.runs import Run, maps_path, prepared_path
from fkt.params import Labels, Params, load_params

SKILL = {"supervised": 0.62, "imagenet": 0.64, "frozen": 0.65, "representational": 0.71, "distilled": 0.73}
SKILL |= {"functional": 0.78}
SHARE = {PRETRAINED: 2 / 3} | dict.fromkeys(("frozen", "representational", TEACHER, STUDENT, "distilled"), 1 / 3)
"""Share of the arm's passes, for networks of arms with several training stages."""
PASSES = {PRETRAINED: 2, TEACHER: 2, "functional": 3}
"""Passes of an image in a step, if more than one."""
NAMES = [f"kind {number}" for number in range(4)]
ARMS = ["functional", "supervised", "representational"]
SIDE = 16


def fabricated_params(**changes: object) -> Params:
    """Return the shipped params with three arms, three seeds, 5 labels per class, and the given changes."""
    shipped = load_params(Path(__file__).parents[2] / "params.yaml")
    return shipped.model_copy(
        update={"budget": shipped.budget.model_copy(update={"passes": 40.0})}
        | {"dataset": "digits", "seeds": [0, 1, 2], "modes": [PRETRAINED, *ARMS]}
        | {"labels": Labels(per_class=5, fraction=None), "selection": "auto"}
        | changes
    )


def fabricate(params: Params, *, num_test: int, names: list[str] = NAMES, channels: int = 1) -> None:
    """Write the files of every mode and seed of ``params`` under the current folder."""
    random = np.random.default_rng(0)
    labels = np.sort(random.integers(0, len(names), num_test))
    difficulty = random.normal(size=num_test)  # the same for all modes, so that they tend to fail on the same images
    counts = {"train": [80] * len(names), "val": [20] * len(names), "test": np.bincount(labels).tolist()}
    meta = {"dataset": params.dataset, "classes": names, "image_size": SIDE, "channels": channels, "counts": counts}
    meta |= {"mean": [0.5] * channels, "std": [0.25] * channels}
    _json(prepared_path(params.dataset) / "meta.json", meta)
    _json(prepared_path(params.dataset) / "names.json", [f"test {row}" for row in range(1000 + num_test)])
    np.save(prepared_path(params.dataset) / "groups.npy", np.arange(1000 + num_test))
    for seed in params.seeds:
        probes = {"knn_accuracy": 0.5, "linear_accuracy": 0.6, "knn_neighbors": 40, "weights": "none"}
        _json(Run(params.dataset, UNTRAINED, seed).results, probes)
    for mode in params.modes:
        for seed in params.seeds:
            run = Run(params.dataset, mode, seed)
            if mode == PRETRAINED:
                _json(run.results, {"knn_accuracy": 0.61 + 0.01 * seed, "linear_accuracy": 0.66, "num_test": num_test})
            else:
                noise = 0.15 * random.normal() + 0.4 * random.normal(size=num_test)
                _scores(run, labels, SKILL[mode] * 3 - 1.6 - difficulty + noise, random)
            for part in run.parts:
                _training(part, params.budget.passes, SKILL.get(mode, 0.0), random)
        _maps(Run(params.dataset, mode, params.seeds[0]), labels, channels)


def _scores(run: Run, labels: NDArray[np.int64], margin: NDArray[np.float64], random: np.random.Generator) -> None:
    """Write predictions and scores: the margin of the true class over one other class."""
    every = np.arange(len(labels))
    logits = random.normal(size=(len(labels), 4)) * 0.3
    logits[every, (labels + random.choice([1, 2, 3], p=[0.6, 0.3, 0.1], size=len(labels))) % 4] += 3
    logits[every, labels] += 3 + 2 * margin
    predicted = logits.argmax(axis=1)
    macro = precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)[:3]
    scores: dict[str, Any] = dict(zip(("macro_precision", "macro_recall", "macro_f1"), map(float, macro), strict=True))
    scores |= {"accuracy": float((predicted == labels).mean()), "num_test": len(labels)}
    scores |= {"balanced_accuracy": float(balanced_accuracy_score(labels, predicted))}
    scores |= {"calibration_error": 0.09, "knn_accuracy": 0.66, "linear_accuracy": 0.7}
    _json(run.results, scores | {"confusion": confusion_matrix(labels, predicted, labels=range(4)).tolist()})
    np.savez(run.predictions, probabilities=softmax(logits, axis=1), labels=labels, ids=every + 1000)


def _training(run: Run, passes: float, skill: float, random: np.random.Generator) -> None:
    """Write the log of one training run."""
    share = SHARE.get(run.name, 1.0)
    rows = []
    for number, done in enumerate(np.linspace(0.05, 1, 20)):
        noise = random.normal(size=3)
        row: dict[str, object] = {"passes": passes * share * done, "step": 10 * (number + 1), "learning_rate": 0.003}
        ce = 2.3 * np.exp(-4 * done) + 0.02 * abs(noise[0])
        ssl = 2.5 + 2 * np.exp(-6 * done) + 0.01 * noise[1]
        if run.name in (PRETRAINED, TEACHER):
            row |= {"loss": ssl, "ssl": ssl}
        elif run.name == STUDENT:
            row |= {"loss": ce, "pseudo": ce}
        else:
            accuracy = skill * (1 - np.exp(-5 * done)) + 0.015 * noise[2]
            row |= {"loss": ce, "ce": ce, "val_accuracy": accuracy, "val_loss": 2.2 * (1 - 0.7 * accuracy)}
        if run.name == "functional":
            row |= {"loss": ce + ssl, "ssl": ssl, "weight_ce": 1.0 + 0.4 * done, "weight_ssl": 1.0 - 0.4 * done}
            if number % 2:  # gradients are measured at some steps only
                row |= {"grad_cosine": 0.3 - 0.5 * done, "grad_norm_ratio": (4.0 + run.seed) * 10**done}
        rows.append(row)
    image_passes = round(passes * share * 800)
    cost = {"stage": run.network.stage, "kept_step": 150 if run.seed == 1 else 200, "steps": 200, "budget": "passes"}
    cost |= {"image_passes": image_passes, "flops": (6e7 if run.name == TEACHER else 2.5e7) * image_passes}
    cost |= {"epochs": passes * share / PASSES.get(run.name, 1), "seconds": 41.0 * share + random.random()}
    cost |= {"peak_memory_mb": 512.0 + run.seed, "device": "AMD EPYC 9B14", "threads": 2, "precision": "bfloat16"}
    _json(run.log / "cost.json", cost)
    pd.DataFrame(rows).to_csv(run.log / "curve.csv", index=False)
    if run.name == STUDENT:
        clusters = {"clusters": 50, "used": 50 - run.seed, "entropy": 0.9}
        _json(run.log / "clusters.json", {"teacher": {"backbone": "resnet34", "width": 24}} | clusters)


def _maps(run: Run, labels: NDArray[np.int64], channels: int) -> None:
    random = np.random.default_rng(3)
    chosen = random.permutation(len(labels))[:96]
    arrays = {
        "ids": chosen + 1000,
        "images": random.integers(0, 256, (len(chosen), SIDE, SIDE, channels), dtype=np.uint8),
        "labels": labels[chosen],
        "maps": random.random((len(chosen), SIDE, SIDE), dtype=np.float32),
        "method": np.array("eigencam" if run.name == PRETRAINED else "layercam"),
        "layer": np.array("layer2"),
        "side": np.array(8),
    }
    if run.name != PRETRAINED:
        with np.load(run.predictions) as stored:
            probabilities = stored["probabilities"][chosen]
        arrays |= {"predicted": probabilities.argmax(axis=1), "confidence": probabilities.max(axis=1)}
        arrays["target"] = np.array("predicted")
    maps_path(run.name).parent.mkdir(parents=True, exist_ok=True)
    np.savez(maps_path(run.name), **arrays)


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def results_of(mode: str) -> list[dict[str, float]]:
    """Return the scores of seeds 0, 1 and 2 of a mode."""
    return [json.loads(Run("digits", mode, seed).results.read_text()) for seed in (0, 1, 2)]
