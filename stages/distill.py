"""Stage distill: a fresh backbone learns which cluster of the teacher's features each training image is in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fkt.core import ranks
from fkt.core.arms import TEACHER
from fkt.core.runs import Run
from fkt.training.command import training_stage

if TYPE_CHECKING:
    from fkt.evaluation.clusters import Clusters
    from fkt.params import Params
    from fkt.training.record import Start
    from fkt.training.session import Session


def main(run: Run, params: Params) -> None:
    """Cluster the teacher's features of the plain training images, and train the student on augmented images."""
    from fkt.core.files import write_json
    from fkt.data.keys import seeded
    from fkt.evaluation.clusters import health
    from fkt.models.classifier import Classifier
    from fkt.training.budget import distill_length
    from fkt.training.loaders import views_loader
    from fkt.training.objectives import Distill
    from fkt.training.session import open_session

    session = open_session(params, run)
    clusters, start = pseudo_labels(session)
    images = len(session.train_split)
    length = distill_length(params.distill, params.budget, num_images=images, spent_passes=start.spent_passes)
    with seeded(run.seed, "clusters"):
        classifier = Classifier(session.fresh_backbone(), params.distill.clusters)
    if ranks.is_first():
        write_json(run.log / "clusters.json", {"teacher": params.teacher.model_dump(), **health(clusters.sizes)})
    session.train(Distill(classifier, clusters.labels), views_loader(session, 1), length, start)


def pseudo_labels(session: Session) -> tuple[Clusters, Start]:
    """Cluster the teacher's features of the training images. The forward pass over them counts as FLOPs."""
    import hashlib

    from fkt.evaluation.clusters import cluster, warnings_of
    from fkt.evaluation.predict import features
    from fkt.models.checkpoint import check_card, load_backbone
    from fkt.models.flops import image_flops
    from fkt.training.budget import labelling_cost
    from fkt.training.record import Start

    began = time.perf_counter()
    settings, meta, seed, split = session.params.distill, session.meta, session.run.seed, session.train_split
    earlier = Run(meta.dataset, TEACHER, seed)
    teacher, card = load_backbone(earlier.model, session.device)
    check_card(card, earlier, session.params)
    found = features(teacher, split, settings.batch_size, mean=card.mean, std=card.std)
    clusters = cluster(found, settings.clusters, n_init=settings.n_init, max_iter=settings.max_iter, seed=seed)
    labelling = labelling_cost(session.params.budget, len(split), session.relative_flops(session.params.teacher))
    start = Start(
        earlier.model,
        spent_passes=card.training["spent_passes"] + labelling,
        pseudo_labels=hashlib.sha256(clusters.labels.numpy().tobytes()).hexdigest(),
        flops=image_flops(teacher, meta.channels, meta.image_size) * len(split),
        seconds=time.perf_counter() - began,
        warnings=warnings_of(clusters.sizes),
    )
    print(f"{settings.clusters} clusters of {min(clusters.sizes)} to {max(clusters.sizes)} images", flush=True)
    return clusters, start


if __name__ == "__main__":
    training_stage("distill", main)
