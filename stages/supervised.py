"""``python -m stages.supervised SEED``: the control, cross-entropy alone from fresh weights."""

from __future__ import annotations

from fkt.params import Params
from fkt.training.objectives import Supervised
from fkt.training.session import ON_LABELS, open_session, run_stage

SECTIONS = (*ON_LABELS, "supervised")


def main(seed: int, params: Params) -> None:
    """Train on the labelled images alone, for as many image passes as the other arms get."""
    session = open_session(params, "supervised", seed)
    classifier = session.fresh_classifier(session.fresh_backbone())
    plan = session.plan_on_labels("supervised")
    loader = session.labelled_loader(params.supervised.batch_size)
    session.train_model(Supervised(classifier, session.supervised_loss()), loader, plan, SECTIONS)


if __name__ == "__main__":
    run_stage(main, __doc__)
