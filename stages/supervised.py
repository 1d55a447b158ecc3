"""``python -m stages.supervised SEED``: the control, cross-entropy alone from fresh weights."""

from __future__ import annotations

import sys

from fkt.errors import reported
from fkt.params import load_params
from fkt.runs import trained_outputs
from fkt.training.objectives import Supervised
from fkt.training.plan import plan_supervised
from fkt.training.session import open_session

SECTIONS = ("dataset", "selection", "labels", "budget", "augment", "model", "cross_entropy", "supervised")


def main(seed: int) -> None:
    """Train on the labelled images alone, for as many image passes as the other arms get."""
    params = load_params()
    session = open_session(params, "supervised", seed)
    classifier = session.fresh_classifier(session.fresh_backbone())
    plan = plan_supervised(
        params.supervised, params.budget, num_images=len(session.train), num_labelled=len(session.labelled)
    )
    loader = session.labelled_loader(params.supervised.batch_size)
    session.train_model(Supervised(classifier, session.supervised_loss()), loader, plan, SECTIONS)


if __name__ == "__main__":
    with reported(*trained_outputs("supervised", int(sys.argv[1]))):
        main(int(sys.argv[1]))
