"""``python -m stages.joint SEED``: functional transfer, one run on L = L_CE + lambda * L_SSL, or as balanced."""

from __future__ import annotations

from fkt.data.keys import seeded
from fkt.params import Params
from fkt.ssl.base import setting_of
from fkt.ssl.methods import build_method
from fkt.training.balance import build_balance
from fkt.training.objectives import Functional
from fkt.training.plan import plan_ssl
from fkt.training.session import METHOD, open_session, run_stage

SECTIONS = (
    "dataset",
    "lambda",
    "selection",
    "labels",
    "budget.passes",
    "budget.checks",
    "augment",
    "model",
    *METHOD,
    "cross_entropy",
    "joint",
)


def main(seed: int, params: Params) -> None:
    """Train both losses on one backbone."""
    session = open_session(params, "functional", seed)
    classifier = session.fresh_classifier(session.fresh_backbone())
    setting = setting_of(session.train, params.joint.batch_size)
    with seeded(seed, "method"):
        method = build_method(params.ssl, classifier.backbone, setting)
    # With every label known, the views' own features are classified; otherwise labelled images are made views.
    on_views = params.joint.ce_on == "views"
    classify_views = on_views and len(session.labelled) == len(session.train)
    images = session.views_pipeline() if on_views else session.pipeline(params.augment.labelled)
    loader = session.views_loader(
        method.num_views,
        params.joint.batch_size,
        ssl_labelled=session.ssl_labelled,
        labelled=session.labelled,
        images=None if classify_views else images,
    )
    plan = plan_ssl(
        params.joint,
        params.budget,
        num_images=len(session.train),
        passes_per_image=method.online_passes + (not classify_views),
        passes=params.budget.passes,
        target_passes=method.target_passes,
    )
    objective = Functional(
        classifier,
        session.supervised_loss(),
        method,
        build_balance(params.joint, params.ssl_weight, classifier.backbone.last_convolution.weight),
        classify_views=classify_views,
        gradient_checks=params.joint.gradient_checks,
    )
    session.train_model(objective, loader, plan, SECTIONS)


if __name__ == "__main__":
    run_stage(main, __doc__)
