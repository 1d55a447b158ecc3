"""PIRL with rotations (arXiv:1912.01991): an image turned by any multiple of 90 degrees is the same image."""

from __future__ import annotations

from torch import Tensor, nn

from fkt.models.backbones import ResNet
from fkt.params.methods_pretext import PirlRotationParams
from fkt.ssl.base import Setting
from fkt.ssl.pirl import Pirl
from fkt.ssl.pretext.quarter_turns import draw_turns, quarter_turned
from fkt.ssl.running_statistics import kept_statistics
from fkt.views.loader import Views


class PirlRotation(Pirl):
    """The transformation is one of 0, 90, 180 and 270 degrees for each image; g is linear."""

    def __init__(self, backbone: ResNet, params: PirlRotationParams, setting: Setting) -> None:
        super().__init__(backbone, params, setting)
        self.turned_head = nn.Linear(backbone.feature_size, params.embedding_size)

    @property
    def online_passes(self) -> int:
        """See Method.online_passes; the view, and the view turned."""
        return 2

    def transformed(self, views: Views) -> Tensor:
        """See Pirl.transformed."""
        turns = draw_turns(len(views.ids), views.generator("pirl_rotation"))
        with kept_statistics(self.backbone):
            embeddings = self.turned_head(self.backbone(quarter_turned(views.images[0], turns)))
        assert isinstance(embeddings, Tensor)
        return embeddings
