"""Optimizers without the compiler are the same optimizers."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from fkt.core.eager import eager


@pytest.mark.parametrize("optimizer", [SGD, AdamW])
def test_an_eager_optimizer_takes_the_same_steps_to_the_bit(optimizer: type[Optimizer]) -> None:
    ours, theirs = nn.Parameter(torch.ones(5, 3)), nn.Parameter(torch.ones(5, 3))
    pairs = [(ours, eager(optimizer)([ours], lr=0.1)), (theirs, optimizer([theirs], lr=0.1))]  # type: ignore[call-arg]
    for step in range(4):
        for weight, one in pairs:
            weight.grad = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
            one.step()
            one.zero_grad(set_to_none=True)
            assert weight.grad is None
    assert torch.equal(ours, theirs)
    assert isinstance(pairs[0][1], optimizer)
    pairs[0][1].load_state_dict(pairs[1][1].state_dict())


def test_training_and_evaluation_never_import_the_compiler() -> None:
    code = (
        "import sys, torch; from fkt.training.optim import build_optimizer;"
        "from tests.training.test_optim import section;"
        "from fkt.evaluation.probes import linear_fits; layer = torch.nn.Linear(3, 2);"
        "x, y = torch.randn(8, 3), torch.arange(8) % 2;"
        "[(layer(x).sum().backward(), o.step(), o.zero_grad(), o.state_dict()) for o in"
        " (build_optimizer(layer, section(optimizer=name)) for name in ('sgd', 'adamw', 'lars'))];"
        "linear_fits(x, y, [0.1], 5, 2); sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
