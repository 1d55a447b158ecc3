"""Stage finetune: cross-entropy from a backbone that was trained without labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.params import Params


def main(run: Run, params: Params) -> None:
    """Train the backbone that the arm starts from, and a new linear layer, on the labelled images."""
    from fkt.training.objectives import Representational
    from fkt.training.session import open_session

    open_session(params, run).train_from_start(Representational)


if __name__ == "__main__":
    training_stage("finetune", main)
