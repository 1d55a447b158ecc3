"""Made-up files of a whole comparison, in the places and forms that the stages leave them; nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support

from fkt.core.arms import PRETRAINED, STUDENT, TEACHER
from fkt.core.runs import Run, maps_path, prepared_path
from fkt.params import Labels, Params, load_params

SKILL = {"supervised": 0.62, "frozen": 0.65, "representational": 0.71, "distilled": 0.73, "functional": 0.78}
SHARE = {
    PRETRAINED: 2 / 3,
    "frozen": 1 / 3,
    "representational": 1 / 3,
    TEACHER: 1 / 3,
    STUDENT: 1 / 3,
    "distilled": 1 / 3,
}
"""Of the passes, where an arm is trained by several stages."""
PASSES = {PRETRAINED: 2, TEACHER: 2, "functional": 3}
"""Of an image in a step, where it is more than one."""

NAMES = [f"kind {number}" for number in range(4)]
ARMS = ["functional", "supervised", "representational"]


def fabricated_params(**changes: object) -> Params:
    """Return the shipped params with three arms, three seeds and 5 labels a class, and with these changes."""
    return load_params(Path(__file__).parents[2] / "params.yaml").model_copy(
        update={"dataset": "digits", "seeds": [0, 1, 2], "modes": [PRETRAINED, *ARMS]}
        | {"labels": Labels(per_class=5, fraction=None), "selection": "auto"}
        | changes
    )


def fabricate(
    params: Params,
    *,
    names: list[str],
    side: int = 16,
    channels: int = 1,
    num_test: int = 360,
    skill: dict[str, float] = SKILL,
    maps: bool = True,
) -> None:
    """Write the files of every mode and seed of ``params`` under the current folder."""
    random = np.random.default_rng(0)
    labels = np.sort(random.integers(0, len(names), num_test))
    difficulty = random.normal(size=num_test)  # shared by the modes: what one misses, the others tend to miss
    counts = {"train": [80] * len(names), "val": [20] * len(names), "test": np.bincount(labels).tolist()}
    _json(
        prepared_path(params.dataset) / "meta.json",
        {"dataset": params.dataset, "classes": names, "image_size": side, "channels": channels, "counts": counts}
        | {"mean": [0.5] * channels, "std": [0.25] * channels, "checksums": {}, "notes": {}},
    )
    for mode in params.arms:
        for seed in params.seeds:
            margin = skill[mode] * 3 - 1.6 + 0.15 * random.normal() - difficulty + 0.4 * random.normal(size=num_test)
            _scores(Run(params.dataset, mode, seed), labels, _probabilities(random, labels, margin, len(names)))
            for part in Run(params.dataset, mode, seed).parts:
                _training(part, params.budget.passes, skill[mode], random)
    if PRETRAINED in params.modes:
        for seed in params.seeds:
            scores = {"knn_accuracy": 0.61 + 0.01 * seed, "linear_accuracy": 0.66, "num_test": num_test}
            run = Run(params.dataset, PRETRAINED, seed)
            _json(run.results, scores)
            _training(run, params.budget.passes, 0.0, random)
    if maps:
        for mode in params.modes:
            _maps(Run(params.dataset, mode, params.seeds[0]), labels, side, channels)


def _probabilities(
    random: np.random.Generator, labels: NDArray[np.int64], margin: NDArray[np.float64], num_classes: int
) -> NDArray[np.float32]:
    logits = random.normal(size=(len(labels), num_classes)) * 0.3
    rivals = (labels + random.choice([1, 2, 3], p=[0.6, 0.3, 0.1], size=len(labels))) % num_classes
    logits[np.arange(len(labels)), rivals] += 3
    logits[np.arange(len(labels)), labels] += 3 + 2 * margin
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def _scores(run: Run, labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> None:
    predicted = probabilities.argmax(axis=1)
    scores: dict[str, object] = {"accuracy": float((predicted == labels).mean()), "num_test": len(labels)}
    scores["balanced_accuracy"] = float(balanced_accuracy_score(labels, predicted))
    for average in ("macro", "weighted"):
        three = precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)[:3]
        scores |= {f"{average}_{name}": float(v) for name, v in zip(("precision", "recall", "f1"), three, strict=True)}
    scores |= {"quadratic_kappa": 0.7, "calibration_error": 0.09, "knn_accuracy": 0.66, "linear_accuracy": 0.7}
    classes = range(probabilities.shape[1])
    scores["confusion"] = confusion_matrix(labels, predicted, labels=list(classes)).tolist()
    _json(run.results, scores)
    np.savez(run.predictions, probabilities=probabilities, labels=labels, ids=np.arange(len(labels)) + 1000)


def _training(run: Run, passes: float, skill: float, random: np.random.Generator) -> None:
    """The log of one training run."""
    share = SHARE.get(run.name, 1.0)
    ends = np.linspace(0.05, 1, 20)
    rows = []
    for number, done in enumerate(ends):
        noise = random.normal(size=3)
        row: dict[str, object] = {"passes": passes * share * done, "step": 10 * (number + 1), "learning_rate": 0.003}
        ce = 2.3 * np.exp(-4 * done) + 0.02 * abs(noise[0])
        ssl = 4.5 - 2 * done + 0.05 * noise[1]
        if run.name in (PRETRAINED, TEACHER):
            row |= {"loss": ssl, "ssl": ssl, "feature_std": 0.8}
        elif run.name == STUDENT:
            row |= {"loss": ce, "pseudo": ce, "feature_std": 0.8}
        else:
            accuracy = skill * (1 - np.exp(-5 * done)) + 0.015 * noise[2]
            row |= {"loss": ce + (ssl if run.name == "functional" else 0), "ce": ce, "feature_std": 0.7}
            row |= _fusion(run.seed, number, done) | {"ssl": ssl} if run.name == "functional" else {}
            row |= {"val_accuracy": accuracy, "val_loss": 2.2 * (1 - 0.7 * accuracy), "val_classes": 10.0}
        rows.append(row)
    run.log.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(run.log / "curve.csv", index=False)
    image_passes = round(passes * share * 800)
    per_pass = 6e7 if run.name == TEACHER else 2.5e7
    cost = {"image_passes": image_passes, "flops_per_pass": per_pass, "flops": per_pass * image_passes, "steps": 200}
    cost |= {
        "stage": run.network.stage,
        "kept_step": 150 if run.seed == 1 else 200,
        "epochs": passes * share / PASSES.get(run.name, 1),
    }
    cost |= {"seconds": 41.0 * share + random.random(), "images_per_second": 5000.0, "peak_memory_mb": 512.0 + run.seed}
    cost |= {"device": "AMD EPYC 9B14", "threads": 2, "precision": "bfloat16", "warnings": []}
    _json(run.log / "cost.json", cost)
    if run.name == STUDENT:
        teacher = {"backbone": "resnet34", "width": 24, "stem": "small", "weights": "none"}
        sizes = {"clusters": 50, "used": 50 - run.seed, "smallest": 0, "largest": 40, "entropy": 0.9}
        _json(run.log / "clusters.json", {"teacher": teacher} | sizes)


def _fusion(seed: int, number: int, done: float) -> dict[str, object]:
    """Weights in every row, gradients in every other one."""
    compared = {"grad_cosine": 0.3 - 0.5 * done, "grad_norm_ratio": (4.0 + seed) * 10**done} if number % 2 else {}
    return {"weight_ce": 1.0 + 0.4 * done, "weight_ssl": 1.0 - 0.4 * done} | compared


def _maps(run: Run, labels: NDArray[np.int64], side: int, channels: int) -> None:
    random = np.random.default_rng(3)
    chosen = random.permutation(len(labels))[:96]
    rows, columns = np.mgrid[:side, :side] / side
    images, maps = [], []
    for position in chosen:
        center = 0.3 + 0.4 * np.random.default_rng(int(position)).random(2)
        distance = (rows - center[0]) ** 2 + (columns - center[1]) ** 2
        colors = np.random.default_rng(int(position)).random(channels)
        images.append(255 * np.exp(-distance[:, :, None] / 0.04) * colors)
        maps.append(np.exp(-((rows - center[0]) ** 2 + (columns - center[1] - 0.1) ** 2) / 0.02))
    arrays = {
        "ids": chosen + 1000,
        "images": np.array(images).astype(np.uint8),
        "labels": labels[chosen],
        "maps": np.array(maps).astype(np.float32),
        "method": np.array("eigencam" if run.name == PRETRAINED else "layercam"),
        "layer": np.array("layer2"),
        "side": np.array(8),
    }
    if run.name != PRETRAINED:
        with np.load(run.predictions) as stored:
            probabilities = stored["probabilities"][chosen]
        arrays |= {"predicted": probabilities.argmax(axis=1), "confidence": probabilities.max(axis=1)}
        arrays["target"] = np.array("predicted")
    path = maps_path(run.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def results_of(mode: str) -> list[dict[str, float]]:
    """Return what evaluate has written about seeds 0, 1 and 2 of a mode of digits."""
    return [json.loads(Run("digits", mode, seed).results.read_text()) for seed in (0, 1, 2)]
