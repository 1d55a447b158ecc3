"""The table of self-supervised methods."""

from collections.abc import Callable
from typing import Any

from fkt.data.keys import seeded
from fkt.data.store import Split
from fkt.models.backbones import ResNet
from fkt.params import SSL
from fkt.params.sizes import resolve, sizes_of
from fkt.ssl.barlow_twins import BarlowTwins
from fkt.ssl.base import Method, Setting, setting_of
from fkt.ssl.byol import BYOL
from fkt.ssl.cross import Cross
from fkt.ssl.jigsaw_pp import JigsawPP
from fkt.ssl.moco import MoCo
from fkt.ssl.pirl import PirlJigsaw, PirlRotation
from fkt.ssl.rotation import Rotation, WithRotation
from fkt.ssl.simclr import SimCLR
from fkt.ssl.simsiam import SimSiam
from fkt.ssl.supcon import SupCon
from fkt.ssl.swav import SwAV
from fkt.ssl.tribyol import TriBYOL
from fkt.ssl.vicreg import VICReg


def build_method(params: SSL, backbone: ResNet, setting: Setting) -> Method:
    """Build the method of the ssl section; its new weights come from torch's global generator."""
    scale = backbone.feature_size, setting.num_images, setting.num_classes
    section = resolve(params.section, *scale)
    method = METHODS[params.method](backbone, section, setting)
    sizes = {**sizes_of(section), **method.sizes}
    if params.rotation_weight:
        sizes["rotation_hidden"] = hidden = resolve(params, *scale).rotation_hidden
        method = WithRotation(method, params.rotation_weight, hidden)
    method.sizes = sizes
    return method


def fresh_method(params: SSL, backbone: ResNet, split: Split, batch_size: int, seed: int) -> Method:
    """Build the method of a run on a training split; its new weights depend on the seed."""
    with seeded(seed, "method"):
        return build_method(params, backbone, setting_of(split, batch_size))


METHODS: dict[str, Callable[[ResNet, Any, Setting], Method]] = {
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
"""The class of each method by name; it takes the backbone, its section of ssl without ``auto``, and the setting of the
run. SECTIONS in fkt/params/methods.py has the same names."""
