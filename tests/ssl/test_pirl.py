"""The memory bank, and PIRL with rotations and with jigsaw puzzles."""

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from fkt.ssl.pirl import MemoryBank, draw_negatives
from fkt.training.monitor import warnings_of
from tests import references_losses, references_pretext
from tests.references import cosine
from tests.ssl.harness import SETTING, build, gradients, views

both_methods = pytest.mark.parametrize("name", ["pirl_rotation", "pirl_jigsaw"])


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_row_follows_the_embeddings_of_its_image_and_keeps_unit_norm(momentum: float) -> None:
    torch.manual_seed(0)
    bank = MemoryBank(6, 3, momentum)
    before, embeddings, ids = bank.rows.clone(), torch.randn(2, 3) * 5, torch.tensor([4, 1])
    torch.testing.assert_close(before.norm(dim=1), torch.ones(6))
    bank.update(ids, embeddings)
    for row, embedding in zip(ids.tolist(), embeddings, strict=True):
        expected = references_pretext.bank_row(before[row].tolist(), embedding.tolist(), momentum)
        assert bank.rows[row].tolist() == pytest.approx(expected, abs=1e-6)
    others = torch.tensor([0, 2, 3, 5])
    assert torch.equal(bank.rows[others], before[others])


def test_negatives_are_uniform_over_all_other_images() -> None:
    ids = torch.tensor([0, 3, 4])
    drawn = draw_negatives(ids, 3000, 5, torch.Generator().manual_seed(0))
    for row, negatives in zip(ids.tolist(), drawn, strict=True):
        counts = torch.bincount(negatives, minlength=5).tolist()
        assert counts.pop(row) == 0 and stats.chisquare(counts).pvalue > 0.01
    assert draw_negatives(torch.tensor([0, 1]), 4, 2, torch.Generator()).tolist() == [[1] * 4, [0] * 4]


def test_similarities_are_cosines_with_the_given_rows_and_only_embeddings_have_a_gradient() -> None:
    torch.manual_seed(0)
    bank, embeddings = MemoryBank(6, 3, 0.5), (torch.randn(2, 3) * 5).requires_grad_()
    ids = torch.tensor([[4, 4, 0], [1, 5, 2]])
    found = bank.similarities(embeddings, ids)
    for i, row in enumerate(ids.tolist()):
        expected = [cosine(embeddings[i].tolist(), bank.rows[j].tolist()) for j in row]
        assert found[i].tolist() == pytest.approx(expected, abs=1e-6)
    found.sum().backward()
    assert embeddings.grad is not None and embeddings.grad.any() and bank.rows.grad is None
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(bank.similarities(embeddings, ids), found)


@both_methods
@pytest.mark.parametrize("loss", ["nce", "info_nce"])
def test_the_loss_compares_both_heads_with_the_bank_which_is_updated_after_the_step(name: str, loss: str) -> None:
    method, made = build(name, loss=loss), views(1)
    rows = method.bank.rows.clone()
    heads: list[Tensor] = []
    for head in (method.image_head, method.rotation_head if name == "pirl_rotation" else method.puzzle_head):
        head.register_forward_hook(lambda *passed: heads.append(passed[2].detach()))
    output = method(made)
    image, transformed = heads
    negatives = draw_negatives(made.ids, 7, SETTING.num_images, made.generator("negatives"))
    compared = rows[torch.cat([made.ids[:, None], negatives], dim=1)].tolist()
    slow = getattr(references_losses, loss)
    expected = 0.3 * slow(transformed.tolist(), compared, 0.5) + 0.7 * slow(image.tolist(), compared, 0.5)
    assert output.loss.item() == pytest.approx(expected, rel=1e-5)
    output.loss.backward()
    assert torch.equal(method.bank.rows, rows)
    method.after_step(0.5)
    rows[made.ids] = F.normalize(0.5 * rows[made.ids] + 0.5 * F.normalize(image, dim=1), dim=1)
    torch.testing.assert_close(method.bank.rows, rows)
    method.after_step(0.6)
    torch.testing.assert_close(method.bank.rows, rows, msg="once for each forward pass")


@pytest.mark.parametrize(("weight", "silent"), [(0.0, "rotation_head"), (1.0, "image_head")])
def test_a_head_without_weight_has_no_gradient(weight: float, silent: str) -> None:
    for name, gradient in gradients(build("pirl_rotation", transformed_weight=weight), views(1)).items():
        assert bool(gradient.any()) != name.startswith(silent), name


def test_the_transformed_image_is_the_rotated_view() -> None:
    method, made = build("pirl_rotation"), views(1)
    seen: list[Tensor] = []
    method.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method(made)
    upright, turned = seen
    assert torch.equal(upright, made.images[0])
    same = torch.stack([(torch.rot90(upright, k, (2, 3)) == turned).all(3).all(2).all(1) for k in range(4)])
    assert same.sum(dim=0).tolist() == [1] * 8 and same.any(dim=1).sum() > 1


def test_each_puzzle_shows_the_tiles_of_its_image_in_an_order_of_its_own() -> None:
    cells = torch.arange(9.0).view(3, 3).repeat_interleave(8, 0).repeat_interleave(8, 1)
    view = cells + 10 * torch.arange(8.0).view(8, 1, 1, 1)
    tiles = build("pirl_jigsaw").shuffled(view, torch.Generator().manual_seed(0))
    assert torch.equal(tiles.amin((2, 3, 4)), tiles.amax((2, 3, 4))), "no tile crosses a cell"
    order = tiles[:, :, 0, 0, 0] - 10 * torch.arange(8.0)[:, None]
    assert torch.equal(order.sort(dim=1).values, torch.arange(9.0).expand(8, 9))
    assert len({tuple(row) for row in order.tolist()}) == 8


def test_the_order_of_the_tiles_matters_to_the_head_but_not_to_their_mean() -> None:
    method = build("pirl_jigsaw").eval()
    tiles = torch.randn(2, 9, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    shuffled = tiles[:, torch.tensor([3, 1, 4, 0, 5, 8, 2, 6, 7])]
    assert not torch.allclose(method.embedded(tiles), method.embedded(shuffled), atol=1e-3)
    with torch.no_grad():
        method.puzzle_head.weight.copy_(torch.eye(4).repeat(1, 9) / 9)
    torch.testing.assert_close(method.embedded(tiles), method.embedded(shuffled))


@both_methods
def test_a_collapse_of_the_embeddings_is_reported(name: str) -> None:
    def warnings() -> str:
        return " ".join(warnings_of([{key: value.item() for key, value in method(made).logs.items()}]))

    method, made = build(name, embedding_size=16), views(1)
    assert warnings() == ""
    with torch.no_grad():
        method.image_head.weight[1:] = 0
        method.image_head.bias[1:] = 0
    assert "collapsed onto a line" in warnings()
    with torch.no_grad():
        method.image_head.weight.zero_()
        method.image_head.bias.fill_(1.0)
    assert "collapsed into a point" in warnings()
