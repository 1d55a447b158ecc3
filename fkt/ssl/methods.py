"""The registry of self-supervised methods."""

from __future__ import annotations

from typing import Any

from fkt.core.errors import ParamsError
from fkt.data.keys import seeded
from fkt.data.store import Split
from fkt.models.backbones import ResNet
from fkt.params import PARAMS_FILE, SSL, parse_section
from fkt.ssl.barlow_twins import BarlowTwins
from fkt.ssl.base import Method, Setting, setting_of
from fkt.ssl.byol import BYOL
from fkt.ssl.cross import Cross
from fkt.ssl.jigsaw_pp import JigsawPP
from fkt.ssl.moco import MoCo
from fkt.ssl.pirl_jigsaw import PirlJigsaw
from fkt.ssl.pirl_rotation import PirlRotation
from fkt.ssl.rotation import Rotation
from fkt.ssl.simclr import SimCLR
from fkt.ssl.simsiam import SimSiam
from fkt.ssl.supcon import SupCon
from fkt.ssl.swav import SwAV
from fkt.ssl.tribyol import TriBYOL
from fkt.ssl.vicreg import VICReg
from fkt.ssl.with_rotation import WithRotation


def build_method(params: SSL, backbone: ResNet, setting: Setting) -> Method:
    """Build what params.yaml's ssl section asks for, with fresh heads from torch's global generator.

    Raises ParamsError for a method that is not in the registry, and for a section that its method refuses.
    """
    name, section = params.method, params.sections[params.method]
    if name not in METHODS:
        raise ParamsError(f"ssl.method: {name!r} has a section but no entry in METHODS of fkt/ssl/methods.py; add it")
    kind = METHODS[name]
    if kind.section is not None:
        section = parse_section(kind.section, section, str(PARAMS_FILE), ("ssl", name))
    method: Method = kind(backbone, section, setting)
    if params.rotation_weight:
        method = WithRotation(method, params.rotation_weight, params.rotation_hidden)
    return method


def fresh_method(params: SSL, backbone: ResNet, split: Split, batch_size: int, seed: int) -> Method:
    """Build the method of a run on a training split, with the fresh weights of a seed."""
    with seeded(seed, "method"):
        return build_method(params, backbone, setting_of(split, batch_size))


METHODS: dict[str, Any] = {
    "simclr": SimCLR,
    "moco": MoCo,
    "byol": BYOL,
    "simsiam": SimSiam,
    "swav": SwAV,
    "barlow_twins": BarlowTwins,
    "vicreg": VICReg,
    "supcon": SupCon,
    "tribyol": TriBYOL,
    "cross": Cross,
    "pirl_jigsaw": PirlJigsaw,
    "pirl_rotation": PirlRotation,
    "rotation": Rotation,
    "jigsaw_pp": JigsawPP,
}
"""Classes of methods by name; each takes the backbone, its own section of ssl, and the setting."""
