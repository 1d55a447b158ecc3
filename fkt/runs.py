"""The identity of a run, and the only place that spells the paths of its files.

All paths are relative to the project's root, where DVC starts every stage.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PRETRAINED = "pretrained"
"""The name under which the SSL-only backbone is evaluated beside the modes; it is no mode."""

TRAINED_BY = {
    PRETRAINED: "pretrain",
    "supervised": "supervised",
    "representational": "finetune",
    "functional": "joint",
}
"""The stage that writes each mode's models."""

METRICS = Path("metrics")
FIGURES = METRICS / "figures"


def prepared_path(dataset: str) -> Path:
    """Folder of the prepared arrays of a dataset."""
    return Path("data") / dataset


@dataclass(frozen=True)
class Run:
    """One trained model: a dataset, a mode (or ``pretrained``) and a seed."""

    dataset: str
    mode: str
    seed: int

    @property
    def stage(self) -> str:
        """Name of the stage that trains this run."""
        return TRAINED_BY[self.mode]

    @property
    def prepared(self) -> Path:
        """Folder of the prepared arrays."""
        return prepared_path(self.dataset)

    @property
    def model(self) -> Path:
        """Folder of the weights and the card; the same kind for every mode."""
        return Path("models") / self.mode / f"s{self.seed}"

    @property
    def log(self) -> Path:
        """Folder of the learning curve and of what the run cost."""
        return METRICS / "logs" / self.mode / f"s{self.seed}"

    @property
    def results(self) -> Path:
        """Scores of this run on the test images (JSON)."""
        return METRICS / "runs" / self.mode / f"s{self.seed}.json"

    @property
    def predictions(self) -> Path:
        """Probabilities of this run for every test image (npz)."""
        return self.results.with_suffix(".npz")

    def checkpoint(self, fingerprint: str) -> Path:
        """Where an unfinished training run is kept between a stop and its resumption.

        DVC deletes the outputs of an unfinished stage, and queued experiments run in throw-away
        folders; this path is no output and lies under the original repository in all cases.
        """
        root = Path(os.environ.get("DVC_ROOT", "."))
        return root / ".ckpt" / f"{self.stage}-{self.mode}-{self.seed}-{fingerprint}.pt"


def remove_other_seeds(folder: Path, seeds: Sequence[int]) -> None:
    """Take the runs of seeds that are no longer asked for out of a mode's folder; DVC's cache keeps them.

    A stage that depends on the whole folder would otherwise be recorded with them, and be out of date in a clone.
    """
    kept = {f"s{seed}" for seed in seeds}
    for path in folder.glob("s*"):
        if path.is_dir() and path.name[1:].isdecimal() and path.name not in kept:
            shutil.rmtree(path)


def transfer_path(dataset: str, seed: int) -> Path:
    """Probe scores of one seed's pretrained backbone on another dataset (JSON)."""
    return METRICS / "runs" / "transfer" / dataset / f"s{seed}.json"


def remove_other_transfers(datasets: Sequence[str]) -> None:
    """Take the results on datasets that are no longer asked for out of what the report depends on; see above."""
    for folder in transfer_path("any", 0).parent.parent.glob("*"):
        if folder.name not in datasets:
            shutil.rmtree(folder)


def maps_path(mode: str) -> Path:
    """Activation maps of a mode, over the images that every mode draws (npz)."""
    return METRICS / "maps" / f"{mode}.npz"
