"""The library behind the stages and the ``fkt`` command; it never imports a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from fkt.evaluation.trained import TrainedModel

__version__ = "0.2.0"


def load(model: str | Path | None = None, device: str | None = None) -> TrainedModel:
    """Load a trained model: ``load("models/functional").predict("photos")``.

    model: folder of one seed, such as models/functional/s0, or of an arm, whose seeds then predict together. None: the
    arm that the report has chosen. device: cpu, cuda or mps; None: FKT_DEVICE, or a GPU if there is one.
    Raises CheckpointError if there is no such model.
    """
    from fkt.evaluation.trained import load_trained  # torch takes two seconds

    return load_trained(model, device)
