"""What the runs with an SSL loss train: the objective, its batches, and the length of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fkt.core.arms import TEACHER
from fkt.ssl.methods import fresh_method
from fkt.training.balance import build_balance
from fkt.training.base import Objective
from fkt.training.budget import Length, ssl_length
from fkt.training.loaders import pipeline, views_loader, views_pipeline
from fkt.training.objectives import Functional, Pretrain
from fkt.views.loader import Loader

if TYPE_CHECKING:
    from fkt.training.session import Session

Built = tuple[Objective, Loader, Length]


def pretraining(session: Session) -> Built:
    """Return what L_SSL alone trains: the arms' backbone, or the teacher."""
    params, split = session.params, session.train_split
    method = fresh_method(params.ssl, session.fresh_backbone(), split, params.pretrain.batch_size, session.run.seed)
    share = params.distill.teacher_share if session.run.name == TEACHER else 1.0
    length = ssl_length(
        params.pretrain,
        params.budget,
        num_images=len(split),
        passes_per_image=method.online_passes,
        passes=params.budget.passes * params.budget.pretrain_share * share,
        target_passes=method.target_passes,
        relative_flops=session.relative_flops(session.model),
    )
    loader = views_loader(session, method.num_views, ssl_labelled=session.ssl_labelled)
    return Pretrain(method), loader, length


def joint_training(session: Session) -> Built:
    """Return what both losses train on one backbone."""
    params, split, classifier = session.params, session.train_split, session.fresh_classifier()
    method = fresh_method(params.ssl, classifier.backbone, split, params.joint.batch_size, session.run.seed)
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
    return objective, loader, length
