"""Running statistics that are estimated after a training."""

import pytest
import torch
from torch import nn

from fkt.training.batchnorm import recalibrate
from tests.ssl.harness import backbone


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(5 + number, 3, 4, 4, generator=generator) * (number + 1) + number for number in range(count)]


def test_statistics_are_means_over_the_batches() -> None:
    norm = nn.BatchNorm2d(3, momentum=0.3)
    nn.init.constant_(norm.weight, 2.0)
    model = nn.Sequential(norm, nn.Dropout(0.5)).eval()
    model(torch.full((2, 3, 4, 4), 100.0))
    weights = [parameter.clone() for parameter in model.parameters()]
    recalibrate(model, iter(batches(4)))
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in batches(4)])
    variances = torch.stack([batch.transpose(0, 1).flatten(1).var(dim=1) for batch in batches(4)])
    torch.testing.assert_close(norm.running_mean, means.mean(dim=0))
    torch.testing.assert_close(norm.running_var, variances.mean(dim=0))
    assert (norm.momentum, norm.training, model[1].training) == (0.3, False, False)
    assert all(torch.equal(*pair) for pair in zip(weights, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_statistics_of_equal_batches_normalize_them_in_evaluation_as_in_training() -> None:
    model, images = backbone().train(), torch.randn(64, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = model(images).detach()
    recalibrate(model, [images] * 3)
    assert model.training
    torch.testing.assert_close(model.eval()(images), expected, atol=0.02, rtol=0.02, msg="but for B / (B - 1)")


def test_no_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="no batch to estimate"):
        recalibrate(nn.BatchNorm1d(2), [])
