"""Stage cam: activation maps of one mode, or of the SSL-only backbone, on test images that all modes share.

Usage: python -m stages.cam MODE SEED
"""

from __future__ import annotations

import argparse

from fkt.core.errors import reported
from fkt.core.hardware import setup_torch
from fkt.core.runs import MADE_OF, PRETRAINED, Run, maps_path
from fkt.data.store import load_split
from fkt.evaluation.maps import backbone_maps, choose_candidates, classifier_maps, save_maps
from fkt.models.checkpoint import load_backbone, load_classifier
from fkt.params import Params, load_params


def main(mode: str, seed: int, params: Params) -> None:
    """Draw the maps of one seed's model; on the CPU, where the same model gives the same bytes every time."""
    setup_torch()
    run = Run(params.dataset, mode, seed)
    split = load_split(run.prepared, "test")
    positions = choose_candidates(split.labels, params.cam.candidates)
    if mode == PRETRAINED:
        maps = backbone_maps(*load_backbone(run.model), split, positions, params.cam)
    else:
        maps = classifier_maps(*load_classifier(run.model), split, positions, params.cam)
    save_maps(maps_path(mode), split, positions, maps)
    print(
        f"{mode}, seed {run.seed}: {maps.method} at {maps.layer}, {maps.side} positions a side, {len(positions)} images"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=list(MADE_OF))
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    with reported():
        main(arguments.mode, arguments.seed, load_params())
