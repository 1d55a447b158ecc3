"""Stage joint: functional transfer, one run on L = L_CE + lambda * L_SSL, or as joint.balance weighs the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.params import Params


def main(run: Run, params: Params) -> None:
    """Train both losses on one backbone."""
    from fkt.build import joint_training
    from fkt.training.session import open_session

    session = open_session(params, run)
    session.train(*joint_training(session))


if __name__ == "__main__":
    training_stage("joint", main)
