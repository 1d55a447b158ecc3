"""Conditions between the budget, the labels, the joint run and the network."""

from typing import Any

import pytest
import yaml

from fkt.core.errors import ParamsError
from fkt.params import parse_params
from tests.params.mistakes import SHIPPED

STANDARD = {"model": {"backbone": "resnet18", "width": 64, "stem": "imagenet"}, "prepare": {"channels": 3}}


def with_changes(changes: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(SHIPPED)
    for section, values in changes.items():
        content[section] = content[section] | values if isinstance(values, dict) else values
    return content


def test_the_arm_imagenet_names_the_network_that_it_needs() -> None:
    modes = {"modes": ["supervised", "imagenet"]}
    assert "imagenet" in parse_params(with_changes(STANDARD | modes)).arms
    for section, wrong in (
        ("model", {"backbone": "resnet10"}),
        ("model", {"width": 16}),
        ("model", {"stem": "small"}),
        ("prepare", {"channels": 1}),
    ):
        content = with_changes(STANDARD | modes)
        content[section] |= wrong
        with pytest.raises(ParamsError, match=r"modes: imagenet needs a network .* set model.backbone: resnet18, .*"):
            parse_params(content)
        assert parse_params(content | {"modes": ["supervised"]}).arms == ["supervised"], "an arm that is not trained"
    content = with_changes(STANDARD | modes)
    content["model"]["weights"] = "imagenet"
    with pytest.raises(ParamsError, match="modes: imagenet repeats supervised, .* set model.weights: none"):
        parse_params(content)
    content = with_changes(STANDARD | modes | {"imagenet": {"source": "weights.zip"}})
    with pytest.raises(ParamsError, match=r"imagenet.source: 'weights.zip': is not a file of weights; give one"):
        parse_params(content)


@pytest.mark.parametrize(
    ("changes", "message", "remedy"),
    [
        ({"budget": {"unit": "epochs"}}, "unit: epochs needs a number of epochs; set budget.epochs", None),
        ({"budget": {"epochs": 9}}, "epochs: 9.0 counts with unit: epochs only, but unit is passes; leave", None),
        (
            {"budget": {"unit": "epochs", "epochs": 9}},
            "unit: epochs with a label budget needs joint.images: same;",
            {"joint": {"images": "same"}},
        ),
        (
            {"budget": {"unit": "labelled_steps"}, "joint": {"batch_size": 32}},
            "but supervised.batch_size: 64, finetune.batch_size: 64, joint.batch_size: 32; set them equal",
            {"modes": ["supervised", "representational"]},
        ),
        (
            {"joint": {"images": "same", "balance": "gradnorm"}},
            "joint.balance: gradnorm needs labels in every step, but with joint.images: same and a label budget",
            {"labels": {"per_class": None}},
        ),
        (
            {"joint": {"balance": "gradnorm", "accumulate_steps": 2}},
            "balance: gradnorm compares the gradients of whole batches",
            {"joint": {"balance": "fixed"}},
        ),
        (
            {"finetune": {"accumulate_steps": 5}},
            "finetune: accumulate_steps: 5 does not divide batch_size: 64 into equal parts",
            {"finetune": {"accumulate_steps": 4}},
        ),
    ],
)
def test_a_protocol_that_would_not_be_fair_or_not_work_is_refused(
    changes: dict[str, Any], message: str, remedy: dict[str, Any] | None
) -> None:
    content = with_changes(changes)
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert message in str(caught.value)
    for section, values in (remedy or {}).items():
        content[section] = content[section] | values if isinstance(values, dict) else values
    if remedy:
        parse_params(content)
