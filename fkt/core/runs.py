"""The identity of a run, and the only place that spells the paths of its files.

All paths are relative to the project's root, where DVC starts every stage.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fkt.core.arms import MODES, NETWORKS, Network, chain

METRICS = Path("metrics")
FIGURES = METRICS / "figures"
LOGS = METRICS / "logs"
RESULTS = METRICS / "runs"
MODELS = Path("models")
CHOSEN = METRICS / "model.json"
"""Which arm to use, and what its model card says."""
PLAN = Path("data") / "plan"
"""What the plan stage writes: for each network, whether it is trained, with which parameters and code."""
SKIP = "skip\n"
"""Content of the plan for a network that is not trained."""


def stage_item() -> str | None:
    """Return the item of the DVC stage that runs this process: the seed, mode or dataset after ``@`` in its name.

    dvc.yaml does not write it into the command, which a shell would run.
    """
    _, at, item = os.environ.get("DVC_STAGE", "").rpartition("@")
    return item if at else None


def prepared_path(dataset: str) -> Path:
    """Folder of the prepared arrays of a dataset."""
    return Path("data") / dataset


def transfer_prepared_path(dataset: str) -> Path:
    """Folder of the prepared arrays of a dataset of transfer.datasets."""
    return Path("data") / "transfer" / dataset


def listing_path(dataset: str) -> Path:
    """Listing of the raw files of a dataset (JSON). git keeps it, because a clone need not have the raw files."""
    return Path("data") / "listing" / f"{dataset}.json"


def transfer_listing_path(dataset: str) -> Path:
    """Listing of the raw files of a dataset of transfer.datasets (JSON)."""
    return Path("data") / "listing" / "transfer" / f"{dataset}.json"


@dataclass(frozen=True)
class Run:
    """One trained network: a dataset, the name of a network (see fkt.core.arms) and a seed."""

    dataset: str
    name: str
    seed: int

    @property
    def network(self) -> Network:
        """Row of the table of networks."""
        return NETWORKS[self.name]

    @property
    def parts(self) -> list[Self]:
        """The training runs that lead to this network, in order; the last is this run."""
        return [type(self)(self.dataset, network.name, self.seed) for network in chain(self.name)]

    @property
    def prepared(self) -> Path:
        """Folder of the prepared arrays."""
        return prepared_path(self.dataset)

    @property
    def model(self) -> Path:
        """Folder of the weights and the card."""
        return MODELS / self.name / f"s{self.seed}"

    @property
    def log(self) -> Path:
        """Folder of the learning curve and the cost of the training."""
        return LOGS / self.name / f"s{self.seed}"

    @property
    def results(self) -> Path:
        """Scores on the test images (JSON)."""
        return RESULTS / self.name / f"s{self.seed}.json"

    @property
    def predictions(self) -> Path:
        """Probabilities for every test image (npz)."""
        return self.results.with_suffix(".npz")

    @property
    def label(self) -> str:
        """Stage and seed, for messages."""
        return f"{self.network.stage}, seed {self.seed}"

    def checkpoint(self, fingerprint: str) -> Path:
        """File of the unfinished training, between an interruption and its resumption.

        DVC deletes the outputs of an unfinished stage, and queued experiments run in temporary folders. This path is
        not an output, and lies in the original repository in all cases.
        """
        root = Path(os.environ.get("DVC_ROOT", "."))
        return root / ".ckpt" / f"{self.network.stage}-{self.name}-{self.seed}-{fingerprint}.pt"


def plan_path(name: str) -> Path:
    """File of the plan for a network: ``skip``, or the parameters and the code of its training as JSON."""
    return PLAN / name


def is_skipped(name: str) -> bool:
    """Return whether the plan skips a network. Without a plan, as outside of DVC, every network is trained."""
    path = plan_path(name)
    return path.is_file() and path.read_text(encoding="utf-8") == SKIP


def transfer_path(dataset: str, seed: int) -> Path:
    """Probe scores of one seed's pretrained backbone on another dataset (JSON)."""
    return RESULTS / "transfer" / dataset / f"s{seed}.json"


def maps_path(mode: str) -> Path:
    """Activation maps of a mode (npz)."""
    return METRICS / "maps" / f"{mode}.npz"


def remove_other_seeds(folder: Path, seeds: Sequence[int]) -> None:
    """Remove the subfolders of seeds that params.yaml no longer names; DVC's cache keeps them.

    DVC records the whole folder for a stage that depends on it: with leftovers, the stage would be out of date in a
    clone.
    """
    kept = {f"s{seed}" for seed in seeds}
    for path in folder.glob("s*"):
        if path.is_dir() and path.name[1:].isdecimal() and path.name not in kept:
            shutil.rmtree(path)


def remove_other_results(modes: Sequence[str], seeds: Sequence[int], transfers: Sequence[str]) -> None:
    """Remove results and logs that params.yaml no longer asks for from what the report depends on."""
    for mode in set(MODES) - set(modes):
        shutil.rmtree(RESULTS / mode, ignore_errors=True)
        maps_path(mode).unlink(missing_ok=True)
    for name in NETWORKS:
        remove_other_seeds(LOGS / name, seeds)
    for folder in (RESULTS / "transfer").glob("*"):
        if folder.is_dir() and folder.name not in transfers:
            shutil.rmtree(folder)
