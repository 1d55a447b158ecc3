"""TriBYOL (arXiv:2206.03012): three views, one online network, two targets; for small batches."""

import torch
from torch import Tensor, cat

from fkt.models.backbones import ResNet
from fkt.params.methods import TriBYOLParams
from fkt.ssl.base import Setting, SSLOutput
from fkt.ssl.heads import predictor, projector
from fkt.ssl.losses.similarity import byol_loss, embedding_health, negative_cosine
from fkt.ssl.momentum import MomentumMethod, Target
from fkt.views.loader import Views


class TriBYOL(MomentumMethod):
    """Two BYOL problems that share the first view and the online network.

    L = [l(q_1, T_1(v_2)) + l(q_2, T_1(v_1))] / 2 + [l(q_1, T_2(v_3)) + l(q_3, T_2(v_1))] / 2 with l = 2 - 2 cos, in
    [0, 8]: the triple-view loss, symmetrized. Views 2 and 3 are not compared. We could not confirm the constants 1/2 in
    the paper; with them L is on the scale of BYOL's loss, and equal to it if v_2 = v_3 and T_1 = T_2.

    We could not confirm either when the targets move. Both start as copies of the online network. If both moved in each
    step, they would stay equal, and the second target would add nothing. So the default, ``alternate``, moves them in
    turn, target 1 first. ``both`` and ``shared`` exist for comparison; they have the same loss, and ``shared`` makes
    one pass less. Each view is a separate batch for batch normalization.
    """

    num_views = 3

    def __init__(self, backbone: ResNet, params: TriBYOLParams, setting: Setting) -> None:
        super().__init__(backbone, projector(backbone, params), params.tau, params.tau_schedule)
        self.predictor = predictor(params)
        self.second_target = None if params.target_updates == "shared" else Target(self._followed())
        self.alternate = params.target_updates == "alternate"
        self.target_passes = 3 if self.second_target is None else 4
        self.turn = 0

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward.

        Logs embedding_health of the online projections; ``target_cosine``, of the online and the first target's
        projections of the first view: near 0 the target is too slow; ``targets_cosine``, of both targets' projections
        of the first view: at 1 the targets are equal.
        """
        view_1, view_2, view_3 = views.images
        features = [self.backbone(view) for view in views.images]
        z = [self.projector(view) for view in features]
        p_1, p_2, p_3 = (self.predictor(view) for view in z)
        second = self.second_target or self.target
        first_1, first_2, second_3 = self.target(view_1), self.target(view_2), second(view_3)
        second_1 = first_1 if second is self.target else second(view_1)
        loss = (byol_loss(p_1, first_2) + byol_loss(p_2, first_1)) / 2
        loss = loss + (byol_loss(p_1, second_3) + byol_loss(p_3, second_1)) / 2
        logs = {
            "target_cosine": -negative_cosine(z[0].detach(), first_1),
            "targets_cosine": -negative_cosine(first_1, second_1),
        }
        return SSLOutput(loss, cat(features), embedding_health(cat(z)) | logs)

    def moving_targets(self) -> list[Target]:
        """See MomentumMethod.moving_targets."""
        targets = [self.target] if self.second_target is None else [self.target, self.second_target]
        return [targets[self.turn]] if self.alternate else targets

    def after_step(self, progress: float) -> None:
        """See MomentumMethod.after_step; if the targets alternate, the other one moves after the next step."""
        super().after_step(progress)
        self.turn = 1 - self.turn

    # The turn is a number and not a buffer, because reading a buffer would wait for the device in each step.

    def get_extra_state(self) -> Tensor:
        """Return the turn, for state_dict."""
        return torch.tensor(self.turn)

    def set_extra_state(self, state: Tensor) -> None:
        """Load the turn."""
        self.turn = int(state)
