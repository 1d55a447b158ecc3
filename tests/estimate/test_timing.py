"""The timed steps against real trainings: the estimate plans the steps that the stages take."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fkt.core.arms import NETWORKS
from fkt.core.runs import Run
from fkt.estimate import timing
from fkt.params import Params
from fkt.raw.counts import image_counts
from fkt.raw.prepare import prepare
from tests.stages.running import train

ALL = ["pretrained", "supervised", "frozen", "representational", "distilled", "functional"]


def planned(params: Params) -> dict[str, dict[str, Any]]:
    """What is measured of each network."""
    found: dict[str, dict[str, Any]] = timing.measure(params, image_counts(params), time.time())["networks"]
    return found


@pytest.mark.parametrize("unit", ["passes", "flops"])
def test_steps_and_image_passes_are_those_of_the_stages(
    unit: str, write_params: Callable[[dict[str, Any]], Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    changes = {"seeds": [0], "modes": ALL, "prepare": {"image_size": 8, "channels": 1, "limit_per_class": 40}}
    params = write_params(changes | {"budget": {"unit": unit}})
    meta = prepare(params.dataset, params.prepare, Path("data") / params.dataset)
    counts = image_counts(params)
    assert counts.train == meta.counts["train"] and counts.test == sum(meta.counts["test"])
    found = planned(params)
    train(params, seed=0)
    assert set(found) == set(NETWORKS) - {"imagenet"}
    for name, network in found.items():
        cost = json.loads((Run(params.dataset, name, 0).log / "cost.json").read_text())
        assert (network["steps"], network["images"]) == (cost["steps"], cost["image_passes"]), name
        weights = Run(params.dataset, name, 0).model / "weights.safetensors"
        assert network["bytes"] == pytest.approx(weights.stat().st_size, rel=0.05), name

    monkeypatch.setattr(timing, "MOST_FLOPS", 1.0)  # each batch is timed with 8 of its 16 images
    smaller = planned(params)
    for name, network in found.items():
        assert smaller[name]["images"] == pytest.approx(network["images"], rel=0.1), name
