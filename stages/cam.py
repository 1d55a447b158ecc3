"""Stage cam: activation maps of one mode, or of the pretrained backbone, for test images that all modes share.

Usage: python -m stages.cam MODE
"""

import argparse

from fkt.core.arms import MODES
from fkt.core.errors import enough_memory, reported
from fkt.core.files import write_arrays
from fkt.core.hardware import set_threads, setup_torch
from fkt.core.runs import Run, maps_path, remove_other_seeds, stage_item
from fkt.data.store import load_split
from fkt.evaluation.maps import BATCH_SIZE, choose_candidates, compute_maps
from fkt.models.checkpoint import check_card, load_model
from fkt.models.flops import image_flops
from fkt.params import Params, load_params


def main(mode: str, params: Params) -> None:
    """Compute the maps of the first seed's model. On the CPU, the same model always gives the same bytes."""
    setup_torch()
    run = Run(params.dataset, mode, params.seeds[0])
    remove_other_seeds(run.model.parent, params.seeds)
    split = load_split(run.prepared, "test")
    positions = choose_candidates(split.labels, params.cam.candidates)
    model, card = load_model(run.model)
    check_card(card, run, params)
    set_threads(image_flops(model, card.channels, card.image_size) * BATCH_SIZE)
    maps = compute_maps(model, card, split, positions, params.cam)
    write_arrays(maps_path(mode), maps, compressed=True)
    side, count = maps["side"], len(positions)
    print(f"{mode}, seed {run.seed}: {maps['method']} at {maps['layer']}, {side} positions a side, {count} images")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=MODES, nargs="?", default=stage_item())
    arguments = parser.parse_args()
    if arguments.mode is None:
        parser.error("give a mode")
    with reported():
        chosen = load_params()
        with enough_memory("cam", f"cam.candidates (now {chosen.cam.candidates})"):
            main(arguments.mode, chosen)
