"""``python -m stages.finetune SEED``: representational transfer, cross-entropy from the pretrained backbone."""

from __future__ import annotations

import sys

from fkt.errors import reported
from fkt.models.checkpoint import load_backbone
from fkt.params import Params, load_params
from fkt.runs import PRETRAINED, Run
from fkt.training.objectives import Representational
from fkt.training.plan import plan_supervised
from fkt.training.session import open_session

SECTIONS = ("dataset", "selection", "labels", "budget", "augment", "model", "cross_entropy", "finetune")


def main(seed: int, params: Params) -> None:
    """Train all of the pretrained backbone and a new head on the labelled images."""
    session = open_session(params, "representational", seed)
    start = Run(params.dataset, PRETRAINED, seed).model
    pretrained, card = load_backbone(start)
    classifier = session.fresh_classifier(session.fresh_backbone())
    plan = plan_supervised(
        params.finetune,
        params.budget,
        num_images=len(session.train),
        num_labelled=len(session.labelled),
        spent_passes=card.training["image_passes"],
    )
    loader = session.labelled_loader(params.finetune.batch_size)
    objective = Representational(classifier, session.supervised_loss(), pretrained)
    session.train_model(objective, loader, plan, SECTIONS, start=start)


if __name__ == "__main__":
    with reported():
        main(int(sys.argv[1]), load_params())
