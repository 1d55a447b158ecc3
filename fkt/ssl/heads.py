"""Projectors and predictors."""

from typing import Any

from torch import nn

from fkt.models.backbones import ResNet
from fkt.params.methods import PredictorParams, ProjectorParams


def projector(backbone: ResNet, params: ProjectorParams, **options: Any) -> nn.Sequential:  # noqa: ANN401
    """Return the projector of a method, from features to projections (B, projector_size); options: see mlp."""
    return mlp(backbone.feature_size, params.projector_hidden, params.projector_size, **options)


def predictor(params: PredictorParams) -> nn.Sequential:
    """Return the predictor of a method, from projections to predictions of the same size."""
    return mlp(params.projector_size, params.predictor_hidden, params.projector_size)


def mlp(
    input_size: int, hidden: int, size: int, *, layers: int = 2, batch_norm: bool = True, last_norm: bool = False
) -> nn.Sequential:
    """Return a head of linear layers; (B, input_size) -> (B, size).

    The default is BYOL's Linear, BatchNorm, ReLU, Linear (arXiv:2006.07733, Sec. 3.3). batch_norm=False gives SimCLR's
    Linear, ReLU, Linear (arXiv:2002.05709, Sec. 2.1). last_norm: the output is normalized too, without scale and
    shift, as in SimSiam's code (arXiv:2011.10566). A linear layer before a batch norm has no bias, because the batch
    norm would remove it.
    """
    sizes = [input_size, *[hidden] * (layers - 1)]
    modules: list[nn.Module] = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        norm = [nn.BatchNorm1d(after)] if batch_norm else []
        modules += [nn.Linear(before, after, bias=not batch_norm), *norm, nn.ReLU(inplace=True)]
    modules.append(nn.Linear(sizes[-1], size, bias=not last_norm))
    if last_norm:
        modules.append(nn.BatchNorm1d(size, affine=False))
    return nn.Sequential(*modules)
