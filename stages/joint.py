"""Stage joint: functional transfer, one run on L = L_CE + lambda * L_SSL, or as joint.balance weighs the losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.params import Params


def main(run: Run, params: Params) -> None:
    """Train both losses on one backbone."""
    from fkt.ssl.methods import fresh_method
    from fkt.training.balance import build_balance
    from fkt.training.budget import ssl_length
    from fkt.training.loaders import pipeline, views_loader, views_pipeline
    from fkt.training.objectives import Functional
    from fkt.training.session import open_session

    session = open_session(params, run)
    split, classifier = session.train_split, session.fresh_classifier()
    method = fresh_method(params.ssl, classifier.backbone, split, params.joint.batch_size, run.seed)
    # With every label known, or with the labels of the same images, the features of the SSL views are classified.
    # Otherwise the labelled images get augmented views of their own.
    on_views, same_images = params.joint.ce_on == "views", params.joint.images == "same"
    classify_views = on_views and (same_images or len(session.labelled) == len(split))
    images = views_pipeline(session) if on_views else pipeline(session, params.augment.labelled)
    loader = views_loader(
        session,
        method.num_views,
        ssl_labelled=session.ssl_labelled,
        labelled=session.labelled,
        images=None if classify_views else images,
        same_images=same_images,
    )
    ce_passes = (0 if method.whole_views else method.num_views) if classify_views else 1
    length = ssl_length(
        params.joint,
        params.budget,
        num_images=len(split),
        passes_per_image=method.online_passes + ce_passes,
        passes=params.budget.passes,
        target_passes=method.target_passes,
        sees_labels=True,
    )
    objective = Functional(
        classifier,
        session.cross_entropy(),
        method,
        build_balance(params.joint, params.ssl_weight, classifier.backbone.last_convolution.weight),
        classify_views=classify_views,
        gradient_checks=params.joint.gradient_checks,
    )
    session.train(objective, loader, length)


if __name__ == "__main__":
    training_stage("joint", main)
