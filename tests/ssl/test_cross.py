"""Cross, in our reading: its two terms, and where its gradient stops."""

from __future__ import annotations

import copy

import pytest
import torch

from fkt.ssl.byol import BYOL
from fkt.ssl.cross import Cross
from tests import references_momentum as references
from tests.ssl.siamese import build, disturb, optimizer_of, reordered, train, views


@pytest.mark.parametrize("teacher_view", ["other", "same"])
def test_the_loss_is_cross_view_plus_cross_model(teacher_view: str) -> None:
    method, made = build(Cross, teacher_view=teacher_view), views(2)
    disturb(method.teacher)
    copied = copy.deepcopy(method)
    z = [copied.projector(copied.backbone(view)) for view in made.images]
    p = [copied.predictor(view).tolist() for view in z]
    z = [view.tolist() for view in z]
    t = [copied.teacher(view).tolist() for view in made.images]
    if teacher_view == "other":
        t.reverse()
    cross_view = (references.squared_distance(p[0], z[1]) + references.squared_distance(p[1], z[0])) / 2
    cross_model = (references.squared_distance(p[0], t[0]) + references.squared_distance(p[1], t[1])) / 2
    output = method(made)
    assert output.loss.item() == pytest.approx(cross_view + cross_model, rel=1e-5)
    assert output.logs["cross_view"].item() == pytest.approx(cross_view, rel=1e-5)
    assert output.logs["cross_model"].item() == pytest.approx(cross_model, rel=1e-5)
    assert 0 <= output.loss <= 8


@pytest.mark.parametrize("teacher_view", ["other", "same"])
def test_the_order_of_the_views_does_not_matter(teacher_view: str) -> None:
    losses = []
    for order in ((0, 1), (1, 0)):
        method = build(Cross, teacher_view=teacher_view)
        disturb(method.teacher)
        losses.append(method(reordered(views(2), *order)).loss)
    torch.testing.assert_close(*losses)


def test_while_the_teacher_is_the_student_the_loss_is_byols_with_its_gradient() -> None:
    cross, byol = build(Cross), build(BYOL)
    losses = [method(views(2)).loss for method in (cross, byol)]
    torch.testing.assert_close(*losses)
    for loss in losses:
        loss.backward()
    for (name, mine), theirs in zip(cross.named_parameters(), byol.parameters(), strict=True):
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_the_teacher_is_tau_of_itself_and_the_rest_of_the_student() -> None:
    method = build(Cross)
    start = method.projector[0].weight.detach().clone()
    train(method, optimizer_of(method), range(1))
    now = method.projector[0].weight.detach()
    torch.testing.assert_close(method.teacher.network[1][0].weight, 0.9 * start + 0.1 * now)


def test_the_teacher_has_no_predictor() -> None:
    method = build(Cross)
    students = [*method.backbone.parameters(), *method.projector.parameters()]
    assert len(list(method.teacher.parameters())) == len(students)
