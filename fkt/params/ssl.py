"""The ssl section of params.yaml: the method, the options of all methods, and one section for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import create_model, model_validator

from fkt.params.base import Count, NonNegative, OrAuto, Probability, Section
from fkt.params.methods import SECTIONS, MethodParams


class _SSL(Section):
    """The self-supervised method of pretraining and of the joint run."""

    method: str
    """A name of SECTIONS."""
    label_fraction: Probability
    """Share of each class's training labels that the method may use, at least one label per class if above 0
    (per cent of labels in EffSSL). They are part of the label budget."""
    rotation_weight: NonNegative
    """Weight of rotation prediction as an auxiliary task (EffSSL, arXiv:2210.09866), 0 = off. It multiplies the mean
    cross-entropy over all rotated views, and is twice the release's rot_wt, which multiplies a sum over two views."""
    rotation_hidden: OrAuto[Count]
    """Width of the hidden layer of the auxiliary task's head."""

    @property
    def section(self) -> MethodParams:
        """The section of the method."""
        section: MethodParams = getattr(self, self.method)
        return section

    @model_validator(mode="after")
    def _labels_are_used(self) -> Self:
        section = self.section
        if section.uses_labels and not self.label_fraction:
            raise ValueError(
                f"method: {self.method} uses labels with its settings, but label_fraction is 0.0; increase "
                f"label_fraction, or set {section.without_labels.format(method=self.method)}"
            )
        if self.label_fraction and not section.uses_labels:
            raise ValueError(
                f"label_fraction: {self.label_fraction} gives labels to method: {self.method}, which does not use "
                "labels with its settings; set label_fraction: 0.0, false_negatives: eliminate (simclr, moco), or "
                "method: supcon"
            )
        return self

    @model_validator(mode="after")
    def _one_rotation_task(self) -> Self:
        if self.method == "rotation" and self.rotation_weight:
            raise ValueError(
                "rotation_weight adds rotation prediction to a method, but method: rotation already is rotation "
                "prediction; set rotation_weight: 0.0"
            )
        return self


if TYPE_CHECKING:
    SSL = _SSL
else:
    _fields: dict[str, Any] = {name: (section, ...) for name, section in SECTIONS.items()}
    SSL = create_model("SSL", __base__=_SSL, __module__=__name__, method=(Literal[tuple(SECTIONS)], ...), **_fields)
