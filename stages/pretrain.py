"""``python -m stages.pretrain SEED``: self-supervised pretraining of the backbone on all training images."""

from __future__ import annotations

import sys

from fkt.data.keys import seeded
from fkt.errors import reported
from fkt.params import Params, load_params
from fkt.runs import PRETRAINED
from fkt.ssl.base import setting_of
from fkt.ssl.methods import build_method
from fkt.training.objectives import Pretrain
from fkt.training.plan import plan_ssl, plan_supervised
from fkt.training.session import open_session
from fkt.views.loader import Loader

SECTIONS = ("dataset", "budget", "augment", "model", "ssl", "pretrain")


def main(seed: int, params: Params) -> None:
    """Train L_SSL alone and keep the backbone."""
    session = open_session(params, PRETRAINED, seed)
    with seeded(seed, "method"):
        method = build_method(
            params.ssl, session.fresh_backbone(), setting_of(session.train, params.pretrain.batch_size)
        )
    loader = Loader(
        session.train,
        session.labelled[:0],  # pretraining has no cross-entropy
        ssl_labelled=session.ssl_labelled,
        num_views=method.num_views,
        views=session.views_pipeline(),
        images=None,
        batch_size=params.pretrain.batch_size,
        seed=seed,
        device=session.device,
        judged=session.judged,
    )
    plan = plan_ssl(
        params.pretrain,
        params.budget,
        num_images=len(session.train),
        passes_per_image=method.online_passes,
        passes=params.budget.passes * params.budget.pretrain_share,
        target_passes=method.target_passes,
    )
    # What pretraining leaves for fine-tuning is checked before an hour is spent on it.
    plan_supervised(
        params.finetune,
        params.budget,
        num_images=len(session.train),
        num_labelled=len(session.labelled),
        spent_passes=plan.image_passes,
    )
    session.train_model(Pretrain(method), loader, plan, SECTIONS)


if __name__ == "__main__":
    with reported():
        main(int(sys.argv[1]), load_params())
