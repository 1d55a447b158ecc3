"""torch's optimizers without torch's compiler, which nothing here uses."""

import inspect
from typing import TypeVar

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)


def eager(optimizer: type[Kind]) -> type[Kind]:
    """Return an optimizer class that does the same and never imports torch._dynamo.

    torch wraps these methods only to hide them from its compiler, and the wrappers import that compiler: 1.7 s at the
    start of every training and every evaluation stage.
    """
    hidden = ("add_param_group", "state_dict", "load_state_dict", "zero_grad")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in hidden}
    methods["step"] = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), methods)
