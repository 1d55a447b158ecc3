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
    from fkt.ssl.methods import fresh_method
    from fkt.training.budget import ssl_length
    from fkt.training.loaders import views_loader
    from fkt.training.objectives import Pretrain
    from fkt.training.session import open_session

    session = open_session(params, run)
    split = session.train_split
    method = fresh_method(params.ssl, session.fresh_backbone(), split, params.pretrain.batch_size, run.seed)
    share = params.distill.teacher_share if run.name == TEACHER else 1.0
    length = ssl_length(
        params.pretrain,
        params.budget,
        num_images=len(split),
        passes_per_image=method.online_passes,
        passes=params.budget.passes * params.budget.pretrain_share * share,
        target_passes=method.target_passes,
        relative_flops=session.relative_flops(session.model),
    )
    check_what_is_left(session, length.spent)
    loader = views_loader(session, method.num_views, ssl_labelled=session.ssl_labelled)
    session.train(Pretrain(method), loader, length)


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
