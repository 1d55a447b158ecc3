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
"""The SSL-only backbone: probed and drawn beside the arms where ``modes`` names it, without a classifier to score."""
TEACHER = "teacher"
"""An SSL-only backbone of another size, whose features are clustered for the distilled arm."""
STUDENT = "student"
"""The backbone that has learned the teacher's clusters, and is then fine-tuned."""
BACKBONES_ALONE = (PRETRAINED, TEACHER, STUDENT)
"""Models without a classifier."""

TRAINED_BY = {
    PRETRAINED: "pretrain",
    TEACHER: "pretrain-teacher",
    STUDENT: "distill",
    "supervised": "supervised",
    "frozen": "frozen",
    "representational": "finetune",
    "distilled": "finetune-distilled",
    "functional": "joint",
}
"""The stage that writes each model; its file and its section of params.yaml have the name before the dash."""

MADE_OF = {
    PRETRAINED: (PRETRAINED,),
    "supervised": ("supervised",),
    "frozen": (PRETRAINED, "frozen"),
    "representational": (PRETRAINED, "representational"),
    "distilled": (TEACHER, STUDENT, "distilled"),
    "functional": ("functional",),
}
"""The models that are trained for each mode, in order; the last one is the mode's own."""

METRICS = Path("metrics")
FIGURES = METRICS / "figures"


def prepared_path(dataset: str) -> Path:
    """Folder of the prepared arrays of a dataset."""
    return Path("data") / dataset


@dataclass(frozen=True)
class Run:
    """One trained model: a dataset, the name of a model (a mode's, or one on the way to it) and a seed."""

    dataset: str
    mode: str
    seed: int

    @property
    def stage(self) -> str:
        """Name of the stage that trains this run."""
        return TRAINED_BY[self.mode]

    @property
    def section(self) -> str:
        """Name of the section of params.yaml that its training is set by."""
        return self.stage.split("-")[0]

    @property
    def parts(self) -> list[Run]:
        """The training runs that a mode is made of, in order."""
        return [Run(self.dataset, name, self.seed) for name in MADE_OF[self.mode]]

    @property
    def start(self) -> Path:
        """Folder of the model that a mode's own training starts from, the one before the last."""
        return self.parts[-2].model

    @property
    def prepared(self) -> Path:
        """Folder of the prepared arrays."""
        return prepared_path(self.dataset)

    @property
    def model(self) -> Path:
        """Folder of the weights and the card; the same kind for every mode."""
        return Path("models") / self.mode / f"s{self.seed}"

    @property
    def logs(self) -> Path:
        """What the training runs of a mode tell of themselves, each in a folder named after its stage."""
        return METRICS / "logs" / self.mode / f"s{self.seed}"

    @property
    def log_folders(self) -> list[Path]:
        """Where this run's learning curve and cost go: one folder for each mode that it is a part of."""
        modes = [mode for mode, parts in MADE_OF.items() if self.mode in parts]
        return [Run(self.dataset, mode, self.seed).logs / self.stage for mode in modes]

    @property
    def results(self) -> Path:
        """Scores of this run on the test images (JSON)."""
        return METRICS / "runs" / self.mode / f"s{self.seed}.json"

    @property
    def predictions(self) -> Path:
        """Probabilities of this run for every test image (npz)."""
        return self.results.with_suffix(".npz")

    @property
    def told(self) -> Path:
        """The logs of the mode as they are handed on to the report, which depends on no training stage."""
        return self.results.with_suffix("")

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


def remove_other_modes(modes: Sequence[str]) -> None:
    """Take the results of modes that are no longer asked for out of what the report depends on; see above."""
    for mode in set(MADE_OF) - set(modes):
        shutil.rmtree(Run("", mode, 0).results.parent, ignore_errors=True)
        maps_path(mode).unlink(missing_ok=True)


def transfer_path(dataset: str, seed: int) -> Path:
    """Probe scores of one seed's pretrained backbone on another dataset (JSON)."""
    return METRICS / "runs" / "transfer" / dataset / f"s{seed}.json"


def remove_other_transfers(datasets: Sequence[str]) -> None:
    """Take the results on datasets that are no longer asked for out of what the report depends on; see above."""
    for folder in transfer_path("any", 0).parent.parent.glob("*"):
        if folder.is_dir() and folder.name not in datasets:
            shutil.rmtree(folder)


def maps_path(mode: str) -> Path:
    """Activation maps of a mode, over the images that every mode draws (npz)."""
    return METRICS / "maps" / f"{mode}.npz"
