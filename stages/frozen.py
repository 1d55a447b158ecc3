"""Stage frozen: linear evaluation as an arm, a new linear layer on the frozen pretrained backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.params import Params


def main(run: Run, params: Params) -> None:
    """Train a linear layer on the labelled images; the backbone stays as pretraining left it."""
    from fkt.training.objectives import Frozen
    from fkt.training.session import open_session

    open_session(params, run).train_from_start(Frozen)


if __name__ == "__main__":
    training_stage("frozen", main)
