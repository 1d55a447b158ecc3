"""The contract of all methods: they train, log, count their passes and resume, alone and jointly."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fkt.models.backbones import ResNet, build_backbone
from fkt.models.classifier import Classifier
from fkt.params import load_params
from fkt.params.methods import SECTIONS
from fkt.ssl.base import Setting
from fkt.ssl.methods import METHODS, build_method
from fkt.ssl.momentum import MomentumMethod, Target
from fkt.ssl.pretext.tiles import tile_passes
from fkt.training.balance import Fixed, build_balance
from fkt.training.objectives import Functional, Pretrain
from fkt.views.loader import Batch
from tests.conftest import ROOT
from tests.ssl.harness import (
    MODEL,
    SETTING,
    backbone,
    build,
    disturb,
    gradients,
    optimizer_of,
    supervised_loss,
    train,
    views,
)

SHIPPED = load_params(ROOT / "params.yaml")
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in METHODS),
    ("simclr", {"false_negatives": "eliminate"}),
    ("simclr", {"rotation_weight": 0.2}),
    ("moco", {"symmetric": True, "false_negatives": "eliminate"}),
    ("byol", {"tau_schedule": "cosine"}),
    ("simsiam", {"projector_layers": 3}),
    ("swav", {"frozen_share": 0.3, "queue_size": 20, "queue_start": 0.3}),
    ("tribyol", {"target_updates": "both"}),
    ("tribyol", {"target_updates": "shared"}),
    ("cross", {"teacher_view": "same"}),
    ("pirl_rotation", {"loss": "info_nce"}),
    ("rotation", {"rotated_copies": 3}),
]
IDS = ["-".join([name, *map(str, changes.values())]) for name, changes in CASES]
every_case = pytest.mark.parametrize(("name", "changes"), CASES, ids=IDS)
every_method = pytest.mark.parametrize("name", METHODS)
PRETEXT = [
    ("jigsaw_pp", {}),
    ("jigsaw_pp", {"rotation_weight": 0.2}),
    ("pirl_jigsaw", {}),
    ("pirl_rotation", {}),
    ("simclr", {"rotation_weight": 0.2}),
]


def test_the_sections_and_the_classes_have_the_same_names() -> None:
    assert list(METHODS) == list(SECTIONS)


@every_method
def test_a_method_is_built_from_the_shipped_params_with_and_without_rotation(name: str) -> None:
    ssl = SHIPPED.ssl.model_copy(update={"method": name})
    plain = build_method(ssl, build_backbone(MODEL, 1), SETTING)
    assert type(plain) is METHODS[name] and ssl.section is getattr(ssl, name)
    rotated = build_method(ssl.model_copy(update={"rotation_weight": 0.2}), build_backbone(MODEL, 1), SETTING)
    assert type(rotated.method) is METHODS[name]
    assert rotated.online_passes == plain.online_passes + plain.num_views
    assert (rotated.target_passes, rotated.lower_bound) == (plain.target_passes, plain.lower_bound)


@every_case
@pytest.mark.parametrize(("joint", "channels", "size"), [(False, 1, 16), (True, 3, 21)])
def test_all_weights_are_trained_in_half_precision(
    name: str, changes: dict[str, Any], joint: bool, channels: int, size: int
) -> None:
    setting = Setting(num_images=40, batch_size=8, num_classes=3, image_size=size, channels=channels)
    model = Classifier(backbone(channels), 3)
    method = build(name, setting, body=model.backbone, **changes)
    alone, both = Pretrain(method), Functional(model, supervised_loss(), method, Fixed(1.0), classify_views=False)
    objective = both if joint else alone
    optimizer = torch.optim.AdamW(objective.parameters(), lr=0.01)
    before = {name: parameter.detach().clone() for name, parameter in objective.named_parameters()}
    targets = {id(p) for module in method.modules() if isinstance(module, Target) for p in module.parameters()}
    assert bool(targets) == isinstance(method, MomentumMethod)
    for step, batch in enumerate((8, 8, 5)):  # the last batch may be smaller
        made = views(method.num_views, step, batch=batch, channels=channels, size=size)
        with torch.autocast("cpu", torch.bfloat16):
            losses = objective.loss(Batch(made, torch.randn(4, channels, size, size), torch.arange(4) % 3))
        assert losses["ssl"].dtype == torch.float32
        for key, value in losses.items():
            assert value.ndim == 0 and value.isfinite() and value.requires_grad == (key == "total"), key
        losses["total"].backward()
        for key, parameter in method.named_parameters():
            assert parameter.requires_grad == (id(parameter) not in targets), key
            frozen = name == "swav" and "prototypes" in key and step / 3 < method.params.frozen_share
            assert (parameter.grad is None) == (id(parameter) in targets or frozen), key
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        objective.after_step((step + 1) / 3)
    for key, parameter in objective.named_parameters():
        assert not torch.equal(parameter, before[key]), key


@every_case
def test_the_features_are_those_of_the_online_backbone_view_after_view(name: str, changes: dict[str, Any]) -> None:
    method = build(name, **changes)
    made = views(method.num_views)
    passes: list[tuple[Tensor, Tensor]] = []
    method.backbone.register_forward_hook(lambda _, inputs, result: passes.append((inputs[0], result)))
    output = method(made)
    count = len(output.features)
    assert method.whole_views == any(one[0].shape[-1] == 16 for one in passes) == (name != "jigsaw_pp")
    if not method.whole_views:
        assert torch.equal(output.features, passes[0][1]) and output.features.requires_grad
        return
    assert count == (8 if name == "moco" and not changes else 8 * method.num_views), "moco's second view is a key"
    whole = [one for one in passes if one[0].shape[-1] == 16]  # no tiles
    inputs, results = (torch.cat(parts)[:count] for parts in zip(*whole, strict=True))
    assert torch.equal(inputs, torch.cat(made.images)[:count])
    assert torch.equal(results, output.features) and output.features.requires_grad


@every_case
def test_the_counted_passes_are_those_that_are_made(name: str, changes: dict[str, Any]) -> None:
    method = build(name, **changes)
    tile = tile_passes(backbone(), 6, SETTING) / 9
    seen = {True: 0.0, False: 0.0}

    def count(module: ResNet, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        cost = 1 if inputs[0].shape[-1] == 16 else tile
        seen[module.conv1.weight.requires_grad] += len(inputs[0]) * cost

    for module in method.modules():
        if isinstance(module, ResNet):
            module.register_forward_hook(count)
    method(views(method.num_views))
    assert seen == {True: pytest.approx(8 * method.online_passes), False: 8 * method.target_passes}


@every_case
def test_a_resumed_run_continues_bit_for_bit(name: str, changes: dict[str, Any]) -> None:
    method = build(name, **changes)
    optimizer = optimizer_of(method)
    train(method, optimizer, range(3), 6)
    resumed = build(name, **changes)
    disturb(resumed)
    state = copy.deepcopy(method.state_dict())
    assert all(isinstance(value, Tensor) for value in state.values()), "a checkpoint holds tensors only"
    resumed.load_state_dict(state)
    again = optimizer_of(resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert train(resumed, again, range(3, 6), 6) == train(method, optimizer, range(3, 6), 6)
    for key, tensor in method.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key


@every_case
def test_a_forward_pass_changes_only_running_statistics(name: str, changes: dict[str, Any]) -> None:
    method = build(name, **changes)
    before = copy.deepcopy(method.state_dict())
    method(views(method.num_views))
    changed = {key for key, tensor in method.state_dict().items() if not torch.equal(tensor, before[key])}
    allowed = ("running_mean", "running_var", "num_batches_tracked")
    queue = {"queue", "_extra_state"} if "queue_size" in changes else set()  # of SwAV
    assert {key for key in changed if not key.endswith(allowed)} == queue


@pytest.mark.parametrize(("name", "changes"), PRETEXT)
def test_tiles_and_rotated_images_do_not_change_the_running_statistics(name: str, changes: dict[str, Any]) -> None:
    method, plain = build(name, **changes), backbone()
    made = views(method.num_views)
    if method.whole_views:
        plain(torch.cat(made.images))
    method(made)
    for key, value in plain.state_dict().items():
        assert torch.equal(method.backbone.state_dict()[key], value), key
    assert all(m.track_running_stats for m in method.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "rotation"])
def test_rotation_with_weight_0_changes_neither_gradient_nor_network(name: str) -> None:
    plain, rotated = build(name), build(name, rotation_weight=0.0)
    made = views(plain.num_views)
    expected, found = gradients(plain, made), gradients(rotated, made)
    for key, gradient in expected.items():
        assert torch.equal(found.pop(key if key.startswith("backbone.") else f"method.{key}"), gradient), key
    assert found and not any(gradient.any() for gradient in found.values())
    for key, value in plain.state_dict().items():
        assert torch.equal(rotated.method.state_dict()[key], value), key
    plain.after_step(0.5)
    rotated.after_step(0.5)
    for key, value in plain.state_dict().items():
        assert torch.equal(rotated.method.state_dict()[key], value), key


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
@every_method
def test_balances_by_size_start_with_the_loss_above_its_lower_bound(name: str, balance: str) -> None:
    model = Classifier(backbone(), 3)
    method = build(name, body=model.backbone)
    section = SHIPPED.joint.model_copy(update={"balance": balance})
    weighed = build_balance(section, 1.0, model.backbone.last_convolution.weight)
    joint = Functional(model, supervised_loss(), method, weighed, classify_views=False)
    optimizer = torch.optim.SGD(joint.parameters(), lr=0.01)
    for step in range(3):
        found = joint.loss(Batch(views(method.num_views, step), torch.randn(6, 1, 16, 16), torch.arange(6) % 3))
        if step == 0:
            above = found["ssl"] - method.lower_bound
            assert above > 0
            torch.testing.assert_close(found["total"], found["ce"] + above)
        assert found["weight_ssl"] > 0 and found["weight_ce"] > 0
        found["total"].backward()
        optimizer.step()
        optimizer.zero_grad()
        joint.after_step((step + 1) / 3)
