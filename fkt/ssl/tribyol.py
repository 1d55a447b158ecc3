"""TriBYOL (arXiv:2206.03012): three views, one online network, two targets; meant for small batches."""

from __future__ import annotations

import torch
from torch import Tensor, cat, nn

from fkt.models.backbones import ResNet
from fkt.params.methods_momentum import TriBYOLParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import mlp
from fkt.ssl.losses.similarity import byol_loss, embedding_health, negative_cosine
from fkt.ssl.momentum import Target, tau_at
from fkt.views.loader import Views


class TriBYOL(Method):
    """Two BYOL problems that share the first view and the online network.

    L = [l(q_1, T_1(v_2)) + l(q_2, T_1(v_1))] / 2 + [l(q_1, T_2(v_3)) + l(q_3, T_2(v_1))] / 2 with l = 2 - 2 cos, in
    [0, 8]: the triple-view loss, symmetrized. Views 2 and 3 are not compared with each other. The constants 1/2 we
    could not confirm in the paper; they put L on the scale of BYOL's sum, to which it is equal for v_2 = v_3 and
    T_1 = T_2.

    Nor could we confirm when the targets move. Both start as copies of the online network; moved alike, they would
    stay equal for ever, and the second would add nothing. So by default (``alternate``) they move in turn, target 1
    first, each in every other step, and differ by what the online network has learned since. ``both`` and ``shared``
    are there to compare with: the same loss, ``shared`` with one pass less.

    Each view goes through the networks as a batch of its own, normalization statistics included.

    Logs: see embedding_health (of the online projections); ``target_cosine``, of online and first target's projection
    of the first view: near 0 the target was left behind; ``targets_cosine``, of both targets' projections of the
    first view: at 1 there is but one target.
    """

    num_views = 3

    def __init__(self, backbone: ResNet, params: TriBYOLParams, setting: Setting) -> None:
        super().__init__(backbone)
        size = params.projector_size
        self.projector = mlp(
            backbone.feature_size, params.projector_hidden, size, layers=2, batch_norm=True, last_norm=False
        )
        self.predictor = mlp(size, params.predictor_hidden, size, layers=2, batch_norm=True, last_norm=False)
        self.shared = params.target_updates == "shared"
        self.alternate = params.target_updates == "alternate"
        self.targets = nn.ModuleList(Target(self._followed()) for _ in range(1 if self.shared else 2))
        self.target_passes = 3 if self.shared else 4
        self.tau, self.tau_schedule = params.tau, params.tau_schedule
        self.turn = 0  # the target that moves next, where they alternate

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward."""
        view_1, view_2, view_3 = views.images
        features = [self.backbone(view) for view in views.images]
        z = [self.projector(view) for view in features]
        p_1, p_2, p_3 = (self.predictor(view) for view in z)
        first, second = self.targets[0], self.targets[-1]
        first_1, first_2, second_3 = first(view_1), first(view_2), second(view_3)
        second_1 = first_1 if self.shared else second(view_1)
        loss = (byol_loss(p_1, first_2) + byol_loss(p_2, first_1)) / 2
        loss = loss + (byol_loss(p_1, second_3) + byol_loss(p_3, second_1)) / 2
        logs = {
            "target_cosine": -negative_cosine(z[0].detach(), first_1),
            "targets_cosine": -negative_cosine(first_1, second_1),
        }
        return SSLOutput(loss, cat(features), embedding_health(cat(z)) | logs)

    def after_step(self, progress: float) -> None:
        """Let the target whose turn it is, or all, follow the online network."""
        tau = tau_at(self.tau, self.tau_schedule, progress)
        for number, target in enumerate(self.targets):
            if number == self.turn or not self.alternate:
                assert isinstance(target, Target)
                target.follow(self._followed(), tau)
        self.turn = (self.turn + 1) % 2 if self.alternate else 0

    # Whose turn it is decides what runs, so it is a number here: as a buffer it would lie on the device, and each step
    # would wait to read it. It is saved and loaded with the weights all the same.

    def get_extra_state(self) -> Tensor:
        """Return whose turn it is, for state_dict."""
        return torch.tensor(self.turn)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what get_extra_state returned."""
        self.turn = int(state)

    def _followed(self) -> nn.Sequential:
        """What the targets are copies of: all but the predictor. Never an attribute: its weights have names already."""
        return nn.Sequential(self.backbone, self.projector)
