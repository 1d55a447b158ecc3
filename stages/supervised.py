"""Stage supervised: the control, cross-entropy alone from fresh weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.params import Params


def main(run: Run, params: Params) -> None:
    """Train on the labelled images alone, with as many image passes as the other arms get."""
    from fkt.training.loaders import labelled_loader
    from fkt.training.objectives import Supervised
    from fkt.training.session import open_session

    session = open_session(params, run)
    length = session.labelled_length()
    objective = Supervised(session.fresh_classifier(), session.cross_entropy())
    session.train(objective, labelled_loader(session, length.passes_per_step), length)


if __name__ == "__main__":
    training_stage("supervised", main)
