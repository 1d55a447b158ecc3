"""The section of the self-supervised method."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, model_validator

from fkt.core.errors import did_you_mean
from fkt.params.base import Count, NonNegative, Probability, Section
from fkt.params.methods_contrastive import MoCoParams, SimCLRParams, SupConParams
from fkt.params.methods_momentum import BYOLParams, CrossParams, SimSiamParams, TriBYOLParams
from fkt.params.methods_negative_free import BarlowTwinsParams, SwAVParams, VICRegParams
from fkt.params.methods_pretext import (
    JigsawPPParams,
    PirlJigsawParams,
    PirlRotationParams,
    RotationParams,
)


class SSL(Section):
    """The self-supervised method, used for pretraining and in the joint run alike; each has a section of its own.

    Sections beyond these are kept as they are, for methods that bring a model of their section along
    (``Method.section``): it is checked when such a method is built, before it trains.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]]

    method: str
    """The name of one of the sections."""
    label_fraction: Probability
    """Share of each class's training labels that the method itself may see, in pretraining and in the joint run alike
    (EffSSL's per cent of labels); at least one label a class above 0. They are among the labels of the budget."""
    rotation_weight: NonNegative
    """Of rotation prediction as an auxiliary task of the method (EffSSL, arXiv:2210.09866): the mean cross-entropy
    over all rotated views is multiplied by it; twice the rot_wt of the release, which adds two means. 0 is no task."""
    rotation_hidden: Count
    """Width of the hidden layer of the auxiliary task's head."""
    simclr: SimCLRParams
    moco: MoCoParams
    byol: BYOLParams
    simsiam: SimSiamParams
    swav: SwAVParams
    barlow_twins: BarlowTwinsParams
    vicreg: VICRegParams
    supcon: SupConParams
    tribyol: TriBYOLParams
    cross: CrossParams
    pirl_jigsaw: PirlJigsawParams
    pirl_rotation: PirlRotationParams
    rotation: RotationParams
    jigsaw_pp: JigsawPPParams

    @property
    def sections(self) -> dict[str, Section | dict[str, Any]]:
        """The section of each method; a dictionary where its model is elsewhere."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in fields.items() if isinstance(value, Section)} | self.__pydantic_extra__

    @model_validator(mode="after")
    def _method_has_a_section(self) -> SSL:
        if self.method not in self.sections:
            names = list(self.sections)
            raise ValueError(
                f"method: unknown value {self.method!r}; choose from: {', '.join(names)}"
                f"{did_you_mean(self.method, names)}"
            )
        return self

    @model_validator(mode="after")
    def _labels_are_used(self) -> SSL:
        section = self.sections[self.method]
        if isinstance(section, dict):  # whoever wrote it knows
            return self
        eliminates = getattr(section, "false_negatives", "keep") == "eliminate"
        if self.method == "supcon" and not self.label_fraction:
            raise ValueError(
                "method: supcon learns from labels, and label_fraction: 0.0 gives it none; set label_fraction, or "
                "method: simclr, which is supcon without labels"
            )
        if eliminates and not self.label_fraction:
            raise ValueError(
                f"{self.method}.false_negatives: eliminate needs labels, and label_fraction: 0.0 gives it none; set "
                f"label_fraction, or {self.method}.false_negatives: keep"
            )
        if self.label_fraction and not (eliminates or self.method == "supcon"):
            raise ValueError(
                f"label_fraction: {self.label_fraction} gives labels to method: {self.method}, which uses none as it "
                "stands; set label_fraction: 0.0, false_negatives: eliminate (simclr, moco), or method: supcon"
            )
        return self

    @model_validator(mode="after")
    def _one_rotation_task(self) -> SSL:
        if self.method == "rotation" and self.rotation_weight:
            raise ValueError(
                "rotation_weight is set beside method: rotation, which is that task already; set it to 0.0"
            )
        return self
