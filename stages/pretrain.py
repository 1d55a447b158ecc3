"""Stage pretrain: self-supervised pretraining, on all training images, of the arms' backbone or of a teacher.

Usage: python -m stages.pretrain NAME SEED, where NAME is pretrained or teacher
"""

from __future__ import annotations

import argparse

from fkt.core.errors import reported
from fkt.core.runs import MADE_OF, PRETRAINED, TEACHER, Run
from fkt.data.keys import seeded
from fkt.params import Params, load_params
from fkt.ssl.base import setting_of
from fkt.ssl.methods import build_method
from fkt.training.objectives import Pretrain
from fkt.training.plan import plan_distill, plan_ssl
from fkt.training.session import METHOD, VIEWS, Session, open_session

SECTIONS = ("dataset", "budget", *VIEWS, "model", *METHOD, "pretrain")
NETWORK = ("model.stem", "model.weights", "distill.teacher", "distill.teacher_width", "distill.teacher_share")
TEACHER_SECTIONS = ("dataset", "budget", *VIEWS, *NETWORK, *METHOD, "pretrain")


def main(name: str, seed: int, params: Params) -> None:
    """Train L_SSL alone and keep the backbone."""
    session = open_session(params, name, seed)
    with seeded(seed, "method"):
        method = build_method(
            params.ssl, session.fresh_backbone(), setting_of(session.train, params.pretrain.batch_size)
        )
    loader = session.views_loader(method.num_views, params.pretrain.batch_size, ssl_labelled=session.ssl_labelled)
    share = params.distill.teacher_share if name == TEACHER else 1.0
    plan = plan_ssl(
        params.pretrain,
        params.budget,
        num_images=len(session.train),
        passes_per_image=method.online_passes,
        passes=params.budget.passes * params.budget.pretrain_share * share,
        target_passes=method.target_passes,
    )
    check_what_is_left(session, plan.image_passes)
    session.train_model(Pretrain(method), loader, plan, TEACHER_SECTIONS if name == TEACHER else SECTIONS)


def check_what_is_left(session: Session, spent_passes: int) -> None:
    """Plan what comes after pretraining before an hour is spent on it. Raises ParamsError where nothing is left."""
    params, mine = session.params, session.run.mode
    for mode in params.arms:
        if mine not in MADE_OF[mode]:
            continue
        spent = spent_passes
        if mine == TEACHER:
            spent += plan_distill(
                params.distill, params.budget, num_images=len(session.train), spent_passes=spent
            ).image_passes
        session.plan_on_labels(Run(params.dataset, mode, session.run.seed).section, spent)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[PRETRAINED, TEACHER])
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    with reported():
        main(arguments.name, arguments.seed, load_params())
