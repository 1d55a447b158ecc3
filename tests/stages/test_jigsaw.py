"""Jigsaw++ in the stages: a backbone that sees tiles alone, and what the record says of sizes and costs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fkt.core.arms import PRETRAINED
from fkt.core.runs import Run
from fkt.data.normalize import normalize
from fkt.models.flops import forward_flops
from fkt.ssl.base import setting_of
from fkt.ssl.pretext.tiles import tile_passes
from fkt.training.batchnorm import recalibrate
from fkt.training.session import open_session
from stages import joint, pretrain
from tests.stages.running import Write, cost_of

SMALL: dict[str, Any] = {"prepare": {"limit_per_class": 20, "test_fraction": 0.2}, "budget": {"passes": 3}}
PUZZLES = {"num_permutations": 4}


@pytest.mark.parametrize("name", ["jigsaw_pp", "simclr"])
def test_pretraining_on_tiles_ends_with_the_statistics_of_whole_images(name: str, prepared: Write) -> None:
    params = prepared(SMALL | {"ssl": {"method": name, "jigsaw_pp": PUZZLES}})
    run = Run(params.dataset, PRETRAINED, 0)
    pretrain.main(run, params)
    found, cost, session = load_file(Path(run.model) / "weights.safetensors"), cost_of(run), open_session(params, run)
    body = session.fresh_backbone()
    forward = forward_flops(body, torch.zeros(1, 1, 16, 16))
    assert cost["flops"] == 3 * forward * cost["image_passes"]
    if name == "simclr":
        assert int(found["bn1.num_batches_tracked"]) == cost["steps"]
        return
    assert cost["ssl_sizes"] == {"tile_embedding": 64, "hidden": 256}
    body.load_state_dict(found)
    images = session.train_split.images(torch.arange(len(session.train_split)))  # one batch, without augmentation
    recalibrate(body, [normalize(images, session.meta.mean, session.meta.std)])
    for key, value in body.state_dict().items():
        assert torch.equal(value, found[key]), key


@pytest.mark.parametrize(("ce_on", "labels"), [("image", None), ("views", None), ("views", 2)])
def test_the_joint_run_passes_whole_images_for_cross_entropy_alone(
    ce_on: str, labels: int | None, prepared: Write
) -> None:
    changes = {"labels": {"per_class": labels}, "joint": {"ce_on": ce_on, "epochs": 2.0}}
    params = prepared(SMALL | changes | {"ssl": {"method": "jigsaw_pp", "jigsaw_pp": PUZZLES}})
    run = Run(params.dataset, "functional", 0)
    joint.main(run, params)
    cost, session = cost_of(run), open_session(params, run)
    tiles = tile_passes(session.fresh_backbone(), 6, setting_of(session.train_split, 16))
    assert cost["image_passes"] == cost["steps"] * round(16 * (tiles + 1))
    found = load_file(Path(run.model) / "weights.safetensors")
    assert int(found["backbone.bn1.num_batches_tracked"]) == cost["kept_step"], "one pass of whole images in a step"
    assert cost["ssl_sizes"] == {"tile_embedding": 64, "hidden": 256}
