"""The door to the balances: how the two losses of the joint run are weighed against each other."""

from fkt.training.balance.base import Balance, Fused
from fkt.training.balance.build import build_balance
from fkt.training.balance.given import Fixed, Schedule
from fkt.training.balance.gradnorm import GradNorm
from fkt.training.balance.uncertainty import Uncertainty

__all__ = ["Balance", "Fixed", "Fused", "GradNorm", "Schedule", "Uncertainty", "build_balance"]
