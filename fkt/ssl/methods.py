"""The registry of self-supervised methods."""

from __future__ import annotations

from collections.abc import Callable

from fkt.models.backbones import ResNet
from fkt.params import SSL
from fkt.ssl.base import Method
from fkt.ssl.simclr import SimCLR

METHODS: dict[str, Callable[[ResNet, SSL], Method]] = {
    "simclr": SimCLR,
}


def build_method(params: SSL, backbone: ResNet) -> Method:
    """Build the method that ``ssl.method`` names, with fresh heads from torch's global generator."""
    return METHODS[params.method](backbone, params)
