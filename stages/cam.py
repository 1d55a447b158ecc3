"""Stage cam: activation maps of one mode, or of the SSL-only backbone, on test images that all modes share.

Usage: python -m stages.cam MODE
"""

from __future__ import annotations

import argparse

from fkt.core.arms import MODES, PRETRAINED
from fkt.core.errors import reported
from fkt.core.hardware import setup_torch
from fkt.core.runs import Run, maps_path, remove_other_seeds
from fkt.data.store import load_split
from fkt.evaluation.maps import backbone_maps, choose_candidates, classifier_maps, save_maps
from fkt.models.checkpoint import load_backbone, load_classifier
from fkt.params import Params, load_params


def main(mode: str, params: Params) -> None:
    """Draw the maps of the first seed's model; on the CPU, where the same model gives the same bytes every time."""
    setup_torch()
    run = Run(params.dataset, mode, params.seeds[0])
    remove_other_seeds(run.model.parent, params.seeds)
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
    parser.add_argument("mode", choices=MODES)
    arguments = parser.parse_args()
    with reported():
        main(arguments.mode, load_params())
