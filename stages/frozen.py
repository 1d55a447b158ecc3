"""``python -m stages.frozen SEED``: linear evaluation as an arm, a new head on the frozen pretrained backbone."""

from __future__ import annotations

from fkt.params import Params
from fkt.training.objectives import Frozen
from fkt.training.session import ON_LABELS, open_session, run_stage

SECTIONS = (*ON_LABELS, "frozen")


def main(seed: int, params: Params) -> None:
    """Train the head on the labelled images; the backbone stays as pretraining left it."""
    open_session(params, "frozen", seed).train_from_start(Frozen, SECTIONS)


if __name__ == "__main__":
    run_stage(main, __doc__)
