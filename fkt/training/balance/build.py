"""What params.yaml's ``joint.balance`` may name, and how each is built."""

from __future__ import annotations

from torch import Tensor

from fkt.params import Joint
from fkt.training.balance.base import Balance
from fkt.training.balance.given import Fixed, Schedule
from fkt.training.balance.gradnorm import GradNorm
from fkt.training.balance.uncertainty import Uncertainty


def build_balance(params: Joint, ssl_weight: float, layer: Tensor) -> Balance:
    """Build the balance of the joint run; ssl_weight: lambda; layer: the weights of the last layer the losses share."""
    match params.balance:
        case "fixed":
            return Fixed(ssl_weight)
        case "schedule":
            return Schedule(ssl_weight, params.schedule)
        case "uncertainty":
            return Uncertainty(ssl_weight)
        case "gradnorm":
            return GradNorm(ssl_weight, params.gradnorm, layer)
