"""Stage finetune: representational or distilled transfer, cross-entropy from a backbone that has seen no label yet.

Usage: python -m stages.finetune MODE SEED
"""

from __future__ import annotations

import argparse

from fkt.core.errors import reported
from fkt.params import Params, load_params
from fkt.training.objectives import Representational
from fkt.training.session import ON_LABELS, open_session

SECTIONS = (*ON_LABELS, "finetune")


def main(mode: str, seed: int, params: Params) -> None:
    """Train all of the backbone that the mode starts from, and a new head, on the labelled images."""
    open_session(params, mode, seed).train_from_start(Representational, SECTIONS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["representational", "distilled"])
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    with reported():
        main(arguments.mode, arguments.seed, load_params())
