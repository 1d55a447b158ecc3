"""What the runs left behind, read back arm by arm: scores, predictions, learning curves and costs.

Reads files only: no torch, no averaging, no rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fkt.core.arms import PRETRAINED, STUDENT
from fkt.core.runs import Run, prepared_path, transfer_path
from fkt.report.run_files import MissingResult, read_json, read_npz, require


@dataclass(frozen=True)
class Arm:
    """One mode, all its seeds."""

    mode: str
    seeds: list[int]
    results: list[dict[str, Any]]
    """Scores on the test images, one for each seed."""
    ids: NDArray[np.int64]
    """(N,) identities of the test images."""
    labels: NDArray[np.int64]
    """(N,)."""
    predicted: NDArray[np.int64]
    """(S, N) the most probable class, for each seed."""
    stages: list[str]
    """Names of the arm's training stages: what comes before the labels first, where there is such a thing."""
    costs: list[list[dict[str, Any]]]
    """For each seed, the cost of each of these stages."""
    curves: pd.DataFrame
    """Rows of the learning curves with mode, seed and stage; passes count from the arm's first training run on."""

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(S, N) whether each test image is classified rightly, for each seed."""
        correct: NDArray[np.bool_] = self.predicted == self.labels
        return correct

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) test images by actual (row) and predicted class, summed over seeds."""
        counts: NDArray[np.int64] = np.sum([result["confusion"] for result in self.results], axis=0, dtype=np.int64)
        return counts

    @property
    def kept_val_accuracy(self) -> list[float]:
        """Accuracy on validation images of the weights that each seed kept, from the arm's last training run."""
        kept = []
        for seed, (*_, last) in zip(self.seeds, self.costs, strict=True):
            rows = self.curves[(self.curves["seed"] == seed) & (self.curves["stage"] == last["stage"])]
            kept.append(float(rows.loc[rows["step"] == last["kept_step"], "val_accuracy"].item()))
        return kept

    @property
    def warnings(self) -> list[str]:
        """What the training runs warned of."""
        return [
            f"{self.mode}, seed {seed}: {warning}"
            for seed, parts in zip(self.seeds, self.costs, strict=True)
            for part in parts
            for warning in part.get("warnings", [])
        ]


def read_arm(dataset: str, mode: str, seeds: list[int]) -> Arm:
    """Read all that a mode's runs left. Raises MissingResult, which names the stage that makes what is missing."""
    runs, evaluated = [Run(dataset, mode, seed) for seed in seeds], f"evaluate@{mode}"
    predictions = [read_npz(run.predictions, evaluated) for run in runs]
    ids, labels = predictions[0]["ids"], predictions[0]["labels"]
    for run, prediction in zip(runs, predictions, strict=True):
        if not np.array_equal(prediction["ids"], ids):
            raise MissingResult(
                f"{run.predictions} holds other test images than {runs[0].predictions}; run 'dvc repro {evaluated}'"
            )
    return Arm(
        mode=mode,
        seeds=seeds,
        results=[read_json(run.results, evaluated) for run in runs],
        ids=ids,
        labels=labels,
        predicted=np.stack([prediction["probabilities"].argmax(axis=1) for prediction in predictions]),
        stages=[part.network.stage for part in runs[0].parts],
        costs=[[_read_cost(part) for part in run.parts] for run in runs],
        curves=pd.concat([_read_curve(run) for run in runs], ignore_index=True),
    )


def read_arms(dataset: str, modes: list[str], seeds: list[int]) -> list[Arm]:
    """Read several modes, which must have been scored on the same test images; see read_arm."""
    arms = [read_arm(dataset, mode, seeds) for mode in modes]
    for arm in arms:
        if not np.array_equal(arm.ids, arms[0].ids):
            raise MissingResult(
                f"{arm.mode} was scored on other test images than {arms[0].mode}; run 'dvc repro' to score both anew"
            )
    return arms


def read_pretrained(dataset: str, seeds: list[int]) -> list[dict[str, Any]]:
    """Read the probe scores of the SSL-only backbones. Raises MissingResult."""
    return [read_json(Run(dataset, PRETRAINED, seed).results, f"evaluate@{PRETRAINED}") for seed in seeds]


def read_clusters(dataset: str, seeds: list[int]) -> list[dict[str, Any]]:
    """Read, for each seed, whose features the distilled arm's clusters are and how they fell. Raises MissingResult."""
    runs = [Run(dataset, STUDENT, seed) for seed in seeds]
    return [read_json(run.log / "clusters.json", _trainer(run)) for run in runs]


def read_transfer(dataset: str, seeds: list[int]) -> list[dict[str, Any]]:
    """Read the probe scores of the SSL-only backbones on another dataset. Raises MissingResult."""
    return [read_json(transfer_path(dataset, seed), f"evaluate-transfer@{dataset}") for seed in seeds]


def read_pretraining(dataset: str, seeds: list[int]) -> list[dict[str, Any]]:
    """Read what pretraining cost, one entry a seed; see ``Arm.costs``."""
    return [_read_cost(Run(dataset, PRETRAINED, seed)) for seed in seeds]


def read_meta(dataset: str) -> dict[str, Any]:
    """Read meta.json of the prepared data; see fkt.data.store.Meta for its content. Raises MissingResult."""
    return read_json(prepared_path(dataset) / "meta.json", "prepare")


def _trainer(run: Run) -> str:
    """Name of the DVC stage that trains a run."""
    return f"{run.network.stage}@{run.seed}"


def _read_cost(run: Run) -> dict[str, Any]:
    return read_json(run.log / "cost.json", _trainer(run))


def _read_curve(run: Run) -> pd.DataFrame:
    """Read the learning curve of an arm, its training runs one after the other."""
    frames: list[pd.DataFrame] = []
    for part in run.parts:
        frame = pd.read_csv(require(part.log / "curve.csv", _trainer(part)))
        frame["passes"] += frames[-1]["passes"].max() if frames else 0.0
        frames.append(frame.assign(mode=run.name, seed=run.seed, stage=part.network.stage))
    return pd.concat(frames, ignore_index=True)
