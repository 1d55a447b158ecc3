"""What ``auto`` means for each size of an SSL method: the one table of rules, and the function that applies it.

The sizes follow from the network and from the data. With the networks and the data of the papers, or of lightly's and
the authors' code for ResNet-18 on CIFAR-10, they are the published ones. A narrow network with few images gets small
ones: heads that cost more than the backbone would be a waste.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fkt.core.errors import ParamsError
from fkt.params.base import AUTO, Section
from fkt.params.methods import (
    BarlowTwinsParams,
    BYOLParams,
    ContrastiveParams,
    JigsawPPParams,
    MoCoParams,
    PirlParams,
    RotationParams,
    SimSiamParams,
    SwAVParams,
    TriBYOLParams,
    VICRegParams,
)
from fkt.params.ssl import SSL

SectionType = TypeVar("SectionType", bound=Section)


@dataclass(frozen=True)
class Scale:
    """What the sizes follow from."""

    features: int
    """Size of the backbone's features: 512 for ResNet-18, 2048 for ResNet-50."""
    images: int
    """Number of training images."""
    classes: int


Rule = Callable[[Scale, Any], float]
"""Takes the scale and the section, whose earlier keys are numbers already."""


def _power_of_two(limit: int) -> int:
    """Return the largest power of two that is not above the limit; at least 2."""
    return 1 << max(1, limit.bit_length() - 1)


def _features(scale: Scale, _: object) -> int:
    return scale.features


def _similarity(scale: Scale, _: object) -> int:
    """Return the size of embeddings that are compared by their cosine."""
    return min(128, scale.features // 2)


def _wide(scale: Scale, _: object) -> int:
    """Return four times the features, or down to twice the features if that is more than a dimension per 4 images."""
    return min(4 * scale.features, max(2 * scale.features, _power_of_two(scale.images // 4)))


def _byol_hidden(scale: Scale, _: object) -> int:
    return max(512, 2 * scale.features)


def _simsiam(scale: Scale, _: object) -> int:
    """Return four times the features, as for ResNet-18, up to 2,048; with fewer than 512 features their number."""
    return min(2048, 4 * scale.features) if scale.features >= 512 else scale.features


def _queue(scale: Scale, _: object = None) -> int:
    """Return a power of two below the number of images: up to 4,096 keys, or more if that is a 16th of the images."""
    return _power_of_two(min(scale.images - 1, max(4096, scale.images // 16)))


RULES: dict[type[Section], dict[str, Rule]] = {
    ContrastiveParams: {"projector_hidden": _features, "projector_size": _similarity},  # SimCLR, MoCo, SupCon
    MoCoParams: {"queue_size": _queue},
    BYOLParams: {
        "projector_hidden": _byol_hidden,
        "projector_size": lambda scale, _: min(256, scale.features),
        "predictor_hidden": _byol_hidden,
    },  # and Cross
    TriBYOLParams: {  # those of the paper for ResNet-50, for every network
        "projector_hidden": lambda *_: 512,
        "projector_size": lambda *_: 128,
        "predictor_hidden": lambda *_: 512,
    },
    SimSiamParams: {
        "projector_hidden": _simsiam,
        "projector_size": _simsiam,
        "predictor_hidden": lambda _, section: max(1, section.projector_size // 4),
    },
    SwAVParams: {
        "projector_hidden": lambda scale, _: max(256, scale.features),
        "projector_size": lambda *_: 128,
        "prototypes": lambda scale, _: min(max(512, 3 * scale.classes), _power_of_two(scale.images // 4)),
        "queue_size": lambda _, section: round(1.28 * section.prototypes),
    },
    BarlowTwinsParams: {
        "projector_hidden": _wide,
        "projector_size": _wide,
        "redundancy_weight": lambda _, section: max(0.0051, 2.56 / section.projector_size),
        "loss_scale": lambda _, section: 3.2 / section.projector_size,
    },
    VICRegParams: {"projector_hidden": _wide, "projector_size": _wide},
    PirlParams: {
        "embedding_size": _similarity,
        "num_negatives": lambda scale, _: min(32000, _queue(scale) // 2),
    },
    RotationParams: {"hidden": _features},
    JigsawPPParams: {
        "tile_embedding": lambda scale, _: scale.features // 2,
        "hidden": lambda scale, _: 2 * scale.features,
    },
    SSL: {"rotation_hidden": _features},
}
"""The rule of each size, by the section that has it. Sections that inherit from one have its rules, and their own."""


def resolve(section: SectionType, backbone_features: int, num_images: int, num_classes: int) -> SectionType:
    """Return a section with a number for each ``auto``; its other values stay.

    section: the section of a method, or the ssl section itself, which has only rotation_hidden. Raises ParamsError if a
    key has no rule.
    """
    scale = Scale(backbone_features, num_images, num_classes)
    rules = _rules_of(type(section))
    for name in type(section).model_fields:  # a size comes before those that follow from it
        if getattr(section, name) == AUTO:
            if name not in rules:
                raise ParamsError(f"ssl: {name}: auto has no rule for {type(section).__name__}; give a number")
            section = section.model_copy(update={name: rules[name](scale, section)})
    return section


def sizes_of(section: Section) -> dict[str, float]:
    """Return the sizes of a section that resolve has returned: the keys that may be ``auto``, with their numbers."""
    return {name: getattr(section, name) for name in type(section).model_fields if name in _rules_of(type(section))}


def _rules_of(kind: type[Section]) -> dict[str, Rule]:
    return {name: rule for base in reversed(kind.__mro__) for name, rule in RULES.get(base, {}).items()}
