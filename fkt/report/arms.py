"""Reads the files of all runs: scores, predictions, learning curves, costs and activation maps.

Computes no averages and does not import torch.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fkt.core.arms import PRETRAINED, STUDENT, UNTRAINED
from fkt.core.errors import CorruptData, UserError
from fkt.core.runs import FIGURES, Run, maps_path, prepared_path, transfer_path
from fkt.core.seals import check_sealed, restored_by
from fkt.data.meta import Meta, load_meta, load_names
from fkt.params import Params


class MissingResult(UserError):
    """A file of a run is missing, or does not match the files of the other runs."""


@dataclass(frozen=True)
class Arm:
    """All seeds of one arm."""

    mode: str
    seeds: list[int]
    results: list[dict[str, Any]]
    """Scores on the test images, for each seed."""
    ids: NDArray[np.int64]
    """(N,) identities of the test images."""
    labels: NDArray[np.int64]
    """(N,) true classes."""
    groups: NDArray[np.int64]
    """(N,) equal for test images that are not independent; see ``groups.npy`` in fkt.data.store."""
    probabilities: NDArray[np.float32]
    """(S, N, K) for each seed."""
    costs: list[list[dict[str, Any]]]
    """For each seed, the cost of each training stage, in the order of training."""
    curves: pd.DataFrame
    """Learning curves with mode, seed and stage. Image passes count from the start of the arm's first training run."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(S, N) most probable class, for each seed."""
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=2)
        return predicted

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(K, K) number of test images by actual class (row) and predicted class, summed over seeds."""
        counts: NDArray[np.int64] = np.sum([result["confusion"] for result in self.results], axis=0, dtype=np.int64)
        return counts

    @property
    def kept_val_accuracy(self) -> list[float]:
        """Validation accuracy of the weights that each seed kept, from the arm's last training run."""
        kept = []
        for seed, (*_, last) in zip(self.seeds, self.costs, strict=True):
            rows = self.curves[(self.curves["seed"] == seed) & (self.curves["stage"] == last["stage"])]
            kept.append(float(rows.loc[rows["step"] == last["kept_step"], "val_accuracy"].item()))
        return kept

    @property
    def warnings(self) -> list[str]:
        """Warnings of the training runs, with arm and seed."""
        return [
            f"{self.mode}, seed {seed}: {warning}"
            for seed, parts in zip(self.seeds, self.costs, strict=True)
            for part in parts
            for warning in part.get("warnings", [])
        ]


@dataclass(frozen=True)
class Maps:
    """Activation maps of one mode. A model without a classifier has no target, predictions and confidence."""

    mode: str
    method: str
    layer: str
    side: int
    """Positions on the shorter side of the feature map."""
    ids: NDArray[np.int64]
    images: NDArray[np.uint8]
    """(M, H, W, C)."""
    labels: NDArray[np.int64]
    maps: NDArray[np.float32]
    """(M, H, W) in [0, 1]."""
    target: str | None = None
    """Which class the maps explain: predicted or true."""
    predicted: NDArray[np.int64] | None = None
    confidence: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Results:
    """All that the report reads."""

    meta: Meta
    """The facts about the prepared data."""
    names: list[str]
    """Names of all prepared images, by ids; see fkt.data.meta.load_names."""
    arms: list[Arm]
    maps: list[Maps]
    pretrained: list[dict[str, Any]]
    """For each seed, the probe scores of the pretrained backbone; empty without the mode ``pretrained``."""
    untrained: list[dict[str, Any]]
    """For each seed, the probe scores of the backbone with its initial weights."""
    pretraining: list[dict[str, Any]]
    """For each seed, the cost of its pretraining; empty without the mode ``pretrained``."""
    clusters: list[dict[str, Any]]
    """For each seed, the teacher and its clusters; empty without the arm ``distilled``."""
    sheet: str | None
    """The picture of augmented views as a data URI; None if it is missing."""
    transfers: dict[str, list[dict[str, Any]]]
    """For each other dataset and seed, the probe scores of the pretrained backbone."""


def read_results(params: Params) -> Results:
    """Read the files of all runs. Raises MissingResult, which names the stage that makes the missing file."""
    dataset, seeds = params.dataset, params.seeds
    pretrained = [Run(dataset, PRETRAINED, seed) for seed in seeds] if PRETRAINED in params.modes else []
    students = [Run(dataset, STUDENT, seed) for seed in seeds] if "distilled" in params.modes else []
    return Results(
        meta=load_meta(prepared_path(dataset)),
        names=load_names(prepared_path(dataset)),
        arms=read_arms(dataset, params.arms, seeds),
        maps=[read_maps(mode) for mode in ([PRETRAINED] if pretrained else []) + params.arms],
        pretrained=[_read_json(run.results, f"evaluate@{PRETRAINED}") for run in pretrained],
        untrained=[_read_json(Run(dataset, UNTRAINED, seed).results, "evaluate-untrained") for seed in seeds],
        pretraining=[_read_cost(run) for run in pretrained],
        sheet=_read_picture(FIGURES / "views.png"),
        clusters=[_read_json(run.log / "clusters.json", _trainer(run)) for run in students],
        transfers={
            other: [_read_json(transfer_path(other, seed), f"evaluate-transfer@{other}") for seed in seeds]
            for other in params.transfer.datasets
        },
    )


def check_same_images(maps: Sequence[Maps]) -> None:
    """Raise MissingResult if activation maps are not of the same images."""
    for model in maps:
        if not np.array_equal(model.ids, maps[0].ids):
            raise MissingResult(
                f"the activation maps of {model.mode} and {maps[0].mode} show different images; run 'dvc repro'"
            )


def read_arms(dataset: str, modes: Sequence[str], seeds: list[int]) -> list[Arm]:
    """Read several arms. Raises MissingResult if a file is missing or if the test images differ."""
    arms = [_read_arm(dataset, mode, seeds) for mode in modes]
    for arm in arms:
        if not np.array_equal(arm.ids, arms[0].ids):
            raise MissingResult(
                f"{arm.mode} and {arms[0].mode} have scores for different test images; run 'dvc repro' to update both"
            )
    return arms


def read_maps(mode: str) -> Maps:
    """Read the activation maps of a mode. Raises MissingResult."""
    stored = _read_npz(maps_path(mode), f"cam@{mode}")
    content: dict[str, Any] = {name: array if array.ndim else array.item() for name, array in stored.items()}
    with _readable(maps_path(mode), f"cam@{mode}"):
        return Maps(mode=mode, **content)


def _read_arm(dataset: str, mode: str, seeds: list[int]) -> Arm:
    runs, stage = [Run(dataset, mode, seed) for seed in seeds], f"evaluate@{mode}"
    predictions = [_read_npz(run.predictions, stage) for run in runs]
    first = predictions[0]
    for run, prediction in zip(runs, predictions, strict=True):
        if not np.array_equal(prediction["ids"], first["ids"]):
            raise MissingResult(
                f"{run.predictions} and {runs[0].predictions} are of different test images; run 'dvc repro {stage}'"
            )
    return Arm(
        mode=mode,
        seeds=seeds,
        results=[_read_json(run.results, stage) for run in runs],
        ids=first["ids"],
        labels=first["labels"],
        groups=_read_groups(dataset)[first["ids"]],
        probabilities=np.stack([prediction["probabilities"] for prediction in predictions]),
        costs=[[_read_cost(part) for part in run.parts] for run in runs],
        curves=pd.concat([_read_curve(run) for run in runs], ignore_index=True),
    )


def _read_curve(run: Run) -> pd.DataFrame:
    """Read the learning curves of an arm's training runs, one after the other."""
    frames: list[pd.DataFrame] = []
    for part in run.parts:
        with _readable(part.log / "curve.csv", _trainer(part)) as path:
            frame = pd.read_csv(path)
            frame["passes"] += frames[-1]["passes"].max() if frames else 0.0
        frames.append(frame.assign(mode=run.name, seed=run.seed, stage=part.network.stage))
    return pd.concat(frames, ignore_index=True)


def _read_cost(run: Run) -> dict[str, Any]:
    return _read_json(run.log / "cost.json", _trainer(run))


def _trainer(run: Run) -> str:
    """Return the name of the DVC stage that trains a run."""
    return f"{run.network.stage}@{run.seed}"


def _read_json(path: Path, stage: str) -> dict[str, Any]:
    with _readable(path, stage):
        content: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    return content


def _read_picture(path: Path) -> str | None:
    """Read a PNG file as a data URI; None if it is missing."""
    if not path.is_file():
        return None
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"


def _read_npz(path: Path, stage: str) -> dict[str, NDArray[Any]]:
    with _readable(path, stage), path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def _read_groups(dataset: str) -> NDArray[np.int64]:
    with _readable(prepared_path(dataset) / "groups.npy", "prepare") as path:
        load_meta(path.parent, path.name)
        groups: NDArray[np.int64] = np.load(path, allow_pickle=False)
    return groups


@contextmanager
def _readable(path: Path, stage: str) -> Iterator[Path]:
    """Check a file before it is read. Raises MissingResult or CorruptData, which name the stage that makes the file."""
    if not path.is_file():
        raise MissingResult(f"{path} is missing; run 'dvc repro {stage}' to make it")
    check_sealed(path, restored_by(path, stage))
    try:
        yield path
    except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
        raise CorruptData(f"{path} is damaged ({error}); {restored_by(path, stage)}") from error
