"""The rule of the number of threads: by the FLOPs of a batch, the same on every machine for small networks."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from fkt.core import hardware
from fkt.core.hardware import set_threads, setup_torch, usable_cores
from fkt.core.runs import Run
from fkt.evaluation.trained import BATCH_SIZE, load_trained
from fkt.models.backbones import build_backbone
from fkt.models.flops import image_flops
from fkt.params import Model
from stages import cam, evaluate
from tests.stages.running import Write, cost_of, train


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of four cores, where nothing is asked for."""
    before = torch.get_num_threads()
    for name in ("FKT_THREADS", "FKT_CORES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    monkeypatch.setattr(hardware, "_threads_of_torch", lambda: 4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("backbone", "width", "stem", "image_size", "batch_size", "threads"),
    [
        ("resnet10", 16, "small", 16, 64, 1),  # the default
        ("resnet18", 16, "small", 16, 64, 1),  # its teacher
        ("resnet10", 16, "small", 32, 512, 1),  # evaluation with the presets cifar10 and laptop
        ("resnet18", 64, "small", 32, 64, 4),
        ("resnet18", 64, "imagenet", 64, 128, 4),  # the preset folder
    ],
)
def test_small_networks_take_one_thread(
    backbone: Any, width: int, stem: Any, image_size: int, batch_size: int, threads: int
) -> None:
    channels = 1 if image_size == 16 else 3
    network = build_backbone(Model(backbone=backbone, width=width, stem=stem, weights="none"), channels)
    setup_torch()
    assert torch.get_num_threads() == 1
    set_threads(image_flops(network, channels, image_size) * batch_size)
    assert torch.get_num_threads() == threads


def test_what_is_asked_for_counts_and_a_job_keeps_to_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FKT_CORES", "2")
    assert usable_cores() == 2
    for flops, threads in ((1e9, 1), (1e12, 2)):
        set_threads(flops)
        assert torch.get_num_threads() == threads
    monkeypatch.setenv("FKT_CORES", "64")
    assert usable_cores() == 4, "no more than there are"
    monkeypatch.setenv("FKT_THREADS", "3")
    for flops in (1e9, 1e12):
        set_threads(flops)
        assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("threshold", "threads"), [(hardware.SMALL_BATCH, 1), pytest.param(1.0, 4, marks=pytest.mark.slow)]
)
def test_every_stage_with_a_network_follows_the_rule(
    threshold: float, threads: int, prepared: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = {"prepare": {"limit_per_class": 10}, "budget": {"passes": 2}}
    params = prepared(tiny | {"modes": ["supervised"], "seeds": [0]})
    monkeypatch.setattr(hardware, "SMALL_BATCH", threshold)
    run = Run("digits", "supervised", 0)

    def predict() -> None:
        Image.new("L", (16, 16)).save("one.png")
        model = load_trained(run.model)
        with model.threads(BATCH_SIZE):
            used = torch.get_num_threads()
        model.predict("one.png")
        assert torch.get_num_threads() == 2, "what the process had"
        torch.set_num_threads(used)

    for stage in (
        lambda: train(params, 0),
        lambda: evaluate.main("supervised", params),
        lambda: cam.main("supervised", params),
        predict,
    ):
        torch.set_num_threads(2)
        stage()
        assert torch.get_num_threads() == threads
    assert cost_of(run)["threads"] == threads
