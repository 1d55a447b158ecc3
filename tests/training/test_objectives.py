"""What each arm minimizes, and what lambda does to it."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.data.keys import seeded
from fkt.models.backbones import build_backbone
from fkt.models.classifier import Classifier
from fkt.params import CrossEntropy, Model, SimCLRParams
from fkt.ssl.base import Setting
from fkt.ssl.losses.contrastive import nt_xent
from fkt.ssl.simclr import SimCLR
from fkt.training.balance import Balance, Fixed
from fkt.training.base import SupervisedLoss, health
from fkt.training.batchnorm import recalibrate
from fkt.training.objectives import Distill, Frozen, Functional, Pretrain, Representational, Supervised
from fkt.views.loader import Batch, Views

MODEL = Model.model_validate({"backbone": "resnet10", "width": 16, "stem": "small", "weights": "none"})
PLAIN = CrossEntropy(label_smoothing=0.0, class_weights="none")
SIMCLR = SimCLRParams(projector_hidden=16, projector_size=8, temperature=0.5, false_negatives="keep")
SETTING = Setting(num_images=8, batch_size=8, num_classes=3, image_size=16, channels=1)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def classifier(seed: int = 0) -> Classifier:
    with seeded(seed, "test"):
        return Classifier(build_backbone(MODEL, 1), 3)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(8, 1, 16, 16, generator=generator) for _ in range(3)]
    views = Views((images[0], images[1]), LABELS, torch.arange(8), (0, "test"))
    return Batch(views=views, images=images[2], labels=LABELS)


def views() -> tuple[Tensor, ...]:
    return views_of(batch()).images


def views_of(made: Batch) -> Views:
    assert made.views is not None
    return made.views


def functional(
    balance: float | Callable[[Classifier], Balance], *, classify_views: bool = False, gradient_checks: int = 0
) -> Functional:
    """The joint objective on fresh weights; balance: lambda, or what makes a balance of the classifier."""
    model = classifier()
    with seeded(0, "method"):
        method = SimCLR(model.backbone, SIMCLR, SETTING)
    made = Fixed(balance) if isinstance(balance, float) else balance(model)
    loss = SupervisedLoss(PLAIN, LABELS, 3)
    return Functional(model, loss, method, made, classify_views=classify_views, gradient_checks=gradient_checks).train()


def gradients(objective: Functional | Supervised | Pretrain) -> dict[str, Tensor]:
    objective.loss(batch())["total"].backward()
    model = objective.model
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def test_functional_with_zero_weight_has_the_supervised_gradient() -> None:
    joint = functional(0.0)
    expected = gradients(Supervised(classifier(), SupervisedLoss(PLAIN, LABELS, 3)))
    found = gradients(joint)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, msg=name)
    for parameter in joint.method.projector.parameters():  # type: ignore[union-attr]
        assert parameter.grad is not None and not parameter.grad.any()


def test_functional_with_zero_weight_is_the_supervised_network_but_for_what_batchnorm_saw() -> None:
    """The weights are the same. The running statistics are not, because the views went through the layers, too.

    Estimated anew on the same images they agree, because they then depend on the weights alone.
    """
    joint, alone = functional(0.0), Supervised(classifier(), SupervisedLoss(PLAIN, LABELS, 3)).train()
    for objective in (joint, alone):
        optimizer = torch.optim.SGD(objective.model.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            objective.loss(batch())["total"].backward()
            optimizer.step()
    for (name, mine), other in zip(joint.model.named_parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, msg=name)
    plain = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(1))

    def outputs() -> list[Tensor]:
        with torch.no_grad():
            return [objective.model.eval()(plain) for objective in (joint, alone)]

    as_trained = outputs()
    assert (as_trained[0] - as_trained[1]).abs().max() > 0.01
    for objective in (joint, alone):
        recalibrate(objective.model, plain.chunk(2))
    mine, other = outputs()
    torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)
    assert (mine - as_trained[0]).abs().max() > 0.01


@pytest.mark.parametrize("classify_views", [False, True])
def test_only_the_known_labels_of_the_same_images_count(classify_views: bool) -> None:
    known = torch.tensor([0, 3, 5])
    labels = torch.full((8,), -1).index_copy(0, known, LABELS[known])
    whole = batch()
    found = functional(0.5, classify_views=classify_views).loss(Batch(whole.views, whole.images, labels))
    images = views() if classify_views else (whole.images,)
    rows = [image + 8 * view for view in range(len(images)) for image in known.tolist()]
    logits = classifier().train()(torch.cat(images))[rows]  # type: ignore[arg-type]
    expected = F.cross_entropy(logits, LABELS[known].repeat(len(images)))
    torch.testing.assert_close(found["ce"], expected.detach())
    torch.testing.assert_close(found["total"].detach(), found["ce"] + 0.5 * found["ssl"])


@pytest.mark.parametrize("classify_views", [False, True])
def test_a_batch_without_a_label_has_the_gradient_of_ssl_alone(classify_views: bool) -> None:
    whole = batch()
    unlabelled = Batch(whole.views, whole.images, torch.full((8,), -1), has_labels=False)
    joint = functional(0.5, classify_views=classify_views, gradient_checks=1)
    joint.before_step(0, 1)
    seen = joint.classifier.backbone.bn1.num_batches_tracked.clone()
    found = joint.loss(unlabelled)
    assert joint.classifier.backbone.bn1.num_batches_tracked - seen == 2 - classify_views, "every step costs the same"
    assert "ce" not in found and "grad_cosine" not in found
    assert all(torch.isfinite(value) for value in found.values())
    found["total"].backward()
    ssl = functional(0.5)
    (0.5 * ssl.method(views_of(whole)).loss).backward()
    for mine, other in zip(joint.method.parameters(), ssl.method.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6)
    assert joint.classifier.head.weight.grad is None or not joint.classifier.head.weight.grad.any()


@pytest.mark.parametrize(("smoothing", "class_weights"), [(0.0, "none"), (0.3, "none"), (0.3, "balanced")])
def test_cross_entropy_is_that_of_the_known_labels_alone(smoothing: float, class_weights: str) -> None:
    params = CrossEntropy.model_validate({"label_smoothing": smoothing, "class_weights": class_weights})
    loss = SupervisedLoss(params, torch.tensor([0, 0, 0, 1, 2]), 3)
    logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    known = torch.tensor([1, 2, 6])
    labels = torch.full((8,), -1).index_copy(0, known, LABELS[known])
    torch.testing.assert_close(loss(logits, labels), loss(logits[known], LABELS[known]))


def test_the_total_is_linear_in_lambda() -> None:
    losses = {weight: functional(weight).loss(batch()) for weight in (0.0, 0.5, 2.0)}
    ssl = losses[0.0]["ssl"]
    for weight, found in losses.items():
        torch.testing.assert_close(found["total"].detach(), losses[0.0]["ce"] + weight * ssl)
    assert ssl > 0.1


def test_the_functional_gradient_is_the_sum_of_its_parts() -> None:
    ce, joint = gradients(functional(0.0)), gradients(functional(0.5))
    model = classifier()
    with seeded(0, "method"):
        pretrain = Pretrain(SimCLR(model.backbone, SIMCLR, SETTING))
    ssl = gradients(pretrain)
    for name, gradient in joint.items():
        part = ssl.get(name.removeprefix("backbone."), torch.zeros(()))
        torch.testing.assert_close(gradient, ce[name] + 0.5 * part, rtol=1e-4, atol=1e-6)


def test_pretraining_minimizes_the_methods_loss_alone() -> None:
    model = classifier()
    with seeded(0, "method"):
        method = SimCLR(model.backbone, SIMCLR, SETTING)
    features = copy.deepcopy(model.backbone)(torch.cat(views()))
    z_a, z_b = method.projector(features).chunk(2)
    torch.testing.assert_close(Pretrain(method).loss(batch())["total"], nt_xent(z_a, z_b, 0.5))


def test_cross_entropy_on_the_views_takes_the_features_that_ssl_made() -> None:
    objective = functional(1.0, classify_views=True)
    calls = []
    handle = objective.method.backbone.register_forward_hook(lambda *_: calls.append(1))
    found = objective.loss(batch())
    handle.remove()
    assert len(calls) == 1, "one pass for both losses"
    model = classifier()
    logits = model(torch.cat(views()))
    torch.testing.assert_close(found["ce"], F.cross_entropy(logits, LABELS.repeat(2)).detach())


def test_representational_starts_from_the_pretrained_backbone_and_the_shared_head() -> None:
    pretrained = classifier(seed=9).backbone
    objective = Representational(classifier(), SupervisedLoss(PLAIN, LABELS, 3), pretrained)
    for name, tensor in objective.model.backbone.state_dict().items():
        torch.testing.assert_close(tensor, pretrained.state_dict()[name], rtol=0, atol=0)
    torch.testing.assert_close(objective.model.head.weight, classifier().head.weight, rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in objective.parameters())


def test_frozen_leaves_every_bit_of_the_backbone_and_trains_the_head() -> None:
    pretrained = classifier(seed=9).backbone
    objective = Frozen(classifier(), SupervisedLoss(PLAIN, LABELS, 3), pretrained)
    before, head = pretrained.state_dict(), objective.model.head.weight.detach().clone()
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        objective.train()  # as the loop and every validation leave it
        objective.loss(batch())["total"].backward()
        optimizer.step()
    for name, tensor in objective.model.backbone.state_dict().items():
        assert tensor.equal(before[name]), name
    assert all(parameter.grad is None for parameter in objective.model.backbone.parameters())
    assert not objective.model.head.weight.equal(head)


def test_frozen_is_multinomial_regression_on_the_features_that_evaluation_sees() -> None:
    pretrained = classifier(seed=9).backbone
    objective = Frozen(classifier(), SupervisedLoss(PLAIN, LABELS, 3), pretrained)
    images = batch().images
    assert images is not None
    with torch.no_grad():
        features = pretrained.eval()(images)
    logits = objective.model.head(features)
    found = objective.loss(batch())
    torch.testing.assert_close(found["total"], F.cross_entropy(logits, LABELS))
    found["total"].backward()
    expected = (logits.softmax(1) - F.one_hot(LABELS, 3)).T @ features / 8  # the closed form of the gradient
    assert objective.model.head.weight.grad is not None
    torch.testing.assert_close(objective.model.head.weight.grad, expected.detach())


def test_distilling_is_cross_entropy_on_the_clusters_of_the_images_in_the_batch() -> None:
    clusters = torch.tensor([2, 0, 1, 1, 2, 0, 0, 1, 2, 2])  # of ten images, the batch holds some in another order
    ids = torch.tensor([9, 3, 1, 0, 5, 7, 2, 8])
    views = Views((batch().images,), torch.full((8,), -1), ids, (0, "test"))  # type: ignore[arg-type]
    objective = Distill(classifier(), clusters)
    found = objective.loss(Batch(views=views, images=None, labels=None))
    log_p = classifier()(views.images[0]).log_softmax(1)
    expected = -sum(log_p[row, clusters[image]] for row, image in enumerate(ids.tolist())) / 8
    torch.testing.assert_close(found["total"], expected)
    assert objective.model is objective.classifier.backbone, "the head on clusters is left behind"
    found["total"].backward()
    assert all(parameter.grad is not None for parameter in objective.parameters())


def test_balanced_weights_give_each_class_the_same_say() -> None:
    labels = torch.tensor([0] * 6 + [1] * 2)
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    loss = SupervisedLoss(CrossEntropy(label_smoothing=0.0, class_weights="balanced"), labels, 2)(logits, labels)
    by_class = [F.cross_entropy(logits[labels == k], labels[labels == k]) for k in (0, 1)]
    torch.testing.assert_close(loss, (by_class[0] + by_class[1]) / 2)


def test_label_smoothing_is_the_mixture_with_the_uniform_target() -> None:
    logits = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    smooth = SupervisedLoss(CrossEntropy(label_smoothing=0.3, class_weights="none"), LABELS, 3)(logits, LABELS)
    log_p = logits.log_softmax(1)
    expected = -(0.7 * log_p[torch.arange(8), LABELS] + 0.1 * log_p.sum(1)).mean()
    torch.testing.assert_close(smooth, expected)


@pytest.mark.parametrize(("features", "expected"), [("spread", 1.0), ("equal", 0.0)])
def test_feature_std_is_one_for_spread_features_and_zero_for_equal_ones(features: str, expected: float) -> None:
    made = torch.randn(4096, 32, generator=torch.Generator().manual_seed(0))
    if features == "equal":
        made = made[:1].expand(4096, 32)
    assert health(made)["feature_std"].item() == pytest.approx(expected, abs=0.02)
