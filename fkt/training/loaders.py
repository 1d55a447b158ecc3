"""The batches of a training run: labelled images, SSL views, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from fkt.params import Transform
from fkt.views.loader import Loader
from fkt.views.object_crops import open_object_crops
from fkt.views.pipeline import Pipeline, build_pipeline

if TYPE_CHECKING:
    from fkt.training.session import Session


def labelled_loader(session: Session, batch_size: int) -> Loader:
    """Return batches of labelled images alone."""
    labelled = pipeline(session, session.params.augment.labelled)
    return Loader(
        session.train_split,
        session.labelled,
        ssl_labelled=session.labelled[:0],
        num_views=0,
        views=labelled,
        images=labelled,
        batch_size=batch_size,
        parts=session.training.accumulate_steps,
        seed=session.run.seed,
        device=session.device,
    )


def views_loader(
    session: Session,
    num_views: int,
    *,
    ssl_labelled: Tensor | None = None,
    labelled: Tensor | None = None,
    images: Pipeline | None = None,
    same_images: bool = False,
) -> Loader:
    """Return batches of SSL views of all training images.

    ssl_labelled: positions of the images whose labels the SSL method sees; None: it sees no labels. labelled: positions
    of the images whose labels cross-entropy sees; None: no labelled images. images: pipeline of the labelled images
    that each batch has besides the views; None: the labels of the views alone. same_images: see Loader.
    """
    none = session.labelled[:0]
    return Loader(
        session.train_split,
        none if labelled is None else labelled,
        ssl_labelled=none if ssl_labelled is None else ssl_labelled,
        num_views=num_views,
        views=views_pipeline(session),
        images=images,
        same_images=same_images,
        batch_size=session.training.batch_size,
        parts=session.training.accumulate_steps,
        seed=session.run.seed,
        device=session.device,
    )


def pipeline(session: Session, steps: Sequence[Transform]) -> Pipeline:
    """Return a pipeline of the augment section."""
    return build_pipeline(steps, session.params.augment.engine, session.meta)


def views_pipeline(session: Session) -> Pipeline:
    """Return the pipeline of the SSL views. Raises ParamsError if masks are needed but missing."""
    augment = session.params.augment
    crops = open_object_crops(session.run.prepared, augment, session.run.seed)
    return build_pipeline(augment.views, augment.engine, session.meta, crops)
