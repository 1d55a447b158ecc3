"""Stage pretrain: self-supervised pretraining on all training images, of the arms' backbone or of the teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fkt.core.arms import TEACHER, chain
from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.params import Params
    from fkt.training.session import Session


def main(run: Run, params: Params) -> None:
    """Train L_SSL alone and keep the backbone."""
    from fkt.build import pretraining
    from fkt.training.session import open_session

    session = open_session(params, run)
    objective, loader, length = pretraining(session)
    check_what_is_left(session, length.spent)
    session.train(objective, loader, length)


def check_what_is_left(session: Session, spent: float) -> None:
    """Plan what follows pretraining before an hour is spent on it. Raises ParamsError where nothing is left.

    spent: by this run, of the budget.
    """
    from fkt.training.budget import distill_length, labelling_cost

    params, run, images = session.params, session.run, len(session.train_split)
    for arm in params.arms:
        if run.network not in chain(arm):
            continue
        before = spent
        if run.name == TEACHER:
            before += labelling_cost(params.budget, images, session.relative_flops(session.model))
            before += distill_length(params.distill, params.budget, num_images=images, spent_passes=before).spent
        session.labelled_length(arm, before)


if __name__ == "__main__":
    training_stage("pretrain", main)
