"""``python -m stages.distill SEED``: a fresh backbone learns which cluster of the teacher's features an image is in."""

from __future__ import annotations

import hashlib
import time

import torch

from fkt.core.runs import STUDENT, TEACHER, Run
from fkt.data.keys import seeded
from fkt.data.store import write_json
from fkt.evaluation.clusters import Clusters, cluster, health, warnings_of
from fkt.evaluation.predict import features
from fkt.models.checkpoint import load_backbone
from fkt.models.classifier import Classifier
from fkt.models.flops import forward_flops
from fkt.params import Params
from fkt.training.objectives import Distill
from fkt.training.plan import plan_distill
from fkt.training.record import Before
from fkt.training.session import VIEWS, Session, open_session, run_stage

SECTIONS = ("dataset", "budget", *VIEWS, "model", "distill")


def main(seed: int, params: Params) -> None:
    """Cluster what the teacher makes of the plain training images, and train the student on augmented ones."""
    session = open_session(params, STUDENT, seed)
    clusters, before = pseudo_labels(session)
    plan = plan_distill(params.distill, params.budget, num_images=len(session.train), spent_passes=before.spent_passes)
    with seeded(seed, "clusters"):
        classifier = Classifier(session.fresh_backbone(), params.distill.clusters)
    loader = session.views_loader(1, params.distill.batch_size)
    session.train_model(Distill(classifier, clusters.labels), loader, plan, SECTIONS, before)
    for folder in session.run.log_folders:
        write_json(folder / "clusters.json", {"teacher": session.params.teacher.model_dump(), **health(clusters.sizes)})


def pseudo_labels(session: Session) -> tuple[Clusters, Before]:
    """Cluster the teacher's features of the training images; its one forward pass over them is counted as FLOPs."""
    began = time.perf_counter()
    settings, meta, seed = session.params.distill, session.meta, session.run.seed
    folder = Run(meta.dataset, TEACHER, seed).model
    teacher, card = load_backbone(folder, session.device)
    found = features(teacher, session.train, settings.batch_size, session.device, mean=card.mean, std=card.std)
    clusters = cluster(found, settings.clusters, n_init=settings.n_init, max_iter=settings.max_iter, seed=seed)
    image = torch.zeros(1, meta.channels, meta.image_size, meta.image_size, device=session.device)
    before = Before(
        folder,
        spent_passes=card.training["spent_passes"],
        pseudo_labels=hashlib.sha256(clusters.labels.numpy().tobytes()).hexdigest(),
        flops=forward_flops(teacher, image) * len(session.train),
        seconds=time.perf_counter() - began,
        warnings=warnings_of(clusters.sizes),
    )
    print(f"{settings.clusters} clusters of {min(clusters.sizes)} to {max(clusters.sizes)} images", flush=True)
    return clusters, before


if __name__ == "__main__":
    run_stage(main, __doc__)
