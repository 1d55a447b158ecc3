"""Statistics of BatchNorm, estimated anew."""

import torch
from torch import Tensor, nn

from fkt.training.batchnorm import recalibrate

GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [3.0 * torch.randn(size, 2, 4, 4, generator=GENERATOR) + 1.0 for size in (8, 8, 5)]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of each channel, in float64, by hand."""
    values = images.double().transpose(0, 1).flatten(1)
    mean = values.mean(1, keepdim=True)
    return mean[:, 0], (values - mean).square().sum(1) / (values.shape[1] - 1)


def test_the_statistics_of_a_linear_network_are_the_means_over_batches() -> None:
    """The layer sees W x + b, so that its statistics follow from those of the pixels."""
    model = network()[:2]
    recalibrate(model, BATCHES)
    weight, bias = model[0].weight.detach().double()[:, :, 0, 0], model[0].bias.detach().double()  # type: ignore[union-attr]
    outputs = [torch.einsum("oc,bchw->bohw", weight, images.double()) + bias[:, None, None] for images in BATCHES]
    means, variances = zip(*map(statistics, outputs), strict=True)
    torch.testing.assert_close(model[1].running_mean.double(), torch.stack(means).mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model[1].running_var.double(), torch.stack(variances).mean(0), rtol=1e-5, atol=1e-5)


def test_the_result_depends_on_the_weights_and_the_batches_alone() -> None:
    """Deeper layers see what the layers before them normalize by the batch."""
    found = []
    for history in ([], [10 * images for images in BATCHES]):
        model = network().eval()
        model[1].train(), model[4].train()
        for images in history:
            model(images)
        model.eval()
        recalibrate(model, BATCHES)
        found.append(model.state_dict())
    assert all(tensor.equal(found[1][name]) for name, tensor in found[0].items())


def test_nothing_else_changes() -> None:
    model = network()
    model[1].momentum = 0.3
    model.eval()
    model[4].train()
    calls: list[bool] = []
    model[2].register_forward_hook(lambda layer, *_: calls.append(layer.training))
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    recalibrate(model, BATCHES)
    assert calls == [False] * 3, "dropout stays off"
    assert (model[1].momentum, model[4].momentum) == (0.3, 0.1)
    assert [layer.training for layer in model] == [False, False, False, False, True]
    for name, parameter in model.named_parameters():
        assert parameter.equal(before[name]) and parameter.grad is None
