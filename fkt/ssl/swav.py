"""SwAV (arXiv:2006.09882): which prototype a view belongs to is predicted from the other view of its image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.params.methods_negative_free import SwAVParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import mlp
from fkt.ssl.losses.clustering import effective_prototypes, prototype_scores, sinkhorn, swapped_prediction
from fkt.views.loader import Views


class SwAV(Method):
    """Backbone, two-layer projector with batch normalization, prototypes; two views, without multi-crop.

    Prototypes are unit vectors: made so at the start and again after each optimizer step, so that every forward finds
    them so. The queue holds the newest projections of each view; they are scored anew by the prototypes of the step,
    and what there is of them takes part (the official code waits for a full queue, which it fills from its start on).
    """

    num_views = 2
    queue: Tensor

    def __init__(self, backbone: ResNet, params: SwAVParams, setting: Setting) -> None:
        super().__init__(backbone)
        hidden, size = params.projector_hidden, params.projector_size
        self.projector = mlp(backbone.feature_size, hidden, size, layers=2, batch_norm=True, last_norm=False)
        self.prototypes = nn.Linear(size, params.prototypes, bias=False)
        self.register_buffer("queue", torch.zeros(2, params.queue_size, size))
        self.params = params
        self.progress, self.num_queued = 0.0, 0
        self._normalize_prototypes()

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; both views go through the network as one batch, normalization statistics included.

        Logs: ``relative_loss``, the loss over log K: about 1 is no learning, and collapse cannot get below it;
        ``prototypes_used``, an effective number: 1 is collapse, min(K, 2B) the most.
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        projections = self.projector(features).chunk(2)
        prototypes = self.prototypes.weight
        if self.progress < self.params.frozen_share:
            # Without a gradient, rather than with one of zero: optimizers then leave it and their own state alone.
            prototypes = prototypes.detach()
        scores_a, scores_b = (prototype_scores(z, prototypes) for z in projections)
        codes_a, codes_b = self._codes(0, scores_a), self._codes(1, scores_b)
        loss = swapped_prediction(scores_a, scores_b, codes_a, codes_b, self.params.temperature)
        self._enqueue(projections)
        logs = {
            "relative_loss": loss.detach() / math.log(self.params.prototypes),
            "prototypes_used": effective_prototypes(torch.cat([scores_a, scores_b])),
        }
        return SSLOutput(loss, features, logs)

    def after_step(self, progress: float) -> None:
        """See Method.after_step; also brings the prototypes back to unit length."""
        self.progress = torch.tensor(progress).item()  # in float32, as it is saved: a resumed run decides the same
        self._normalize_prototypes()

    def get_extra_state(self) -> Tensor:
        """Return what the next step depends on beside weights and queue: progress and rows in the queue.

        On the host, where a buffer would make each step wait for the device to say whether prototypes are frozen.
        """
        return torch.tensor([self.progress, self.num_queued], dtype=torch.float32)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what get_extra_state returned."""
        self.progress, self.num_queued = float(state[0]), int(state[1])

    @torch.no_grad()
    def _codes(self, view: int, scores: Tensor) -> Tensor:
        """(B, K) codes of a view's scores, balanced together with its queue where that takes part."""
        batch_size = len(scores)
        if self.progress >= self.params.queue_start:
            queued = prototype_scores(self.queue[view, : self.num_queued], self.prototypes.weight)
            scores = torch.cat([scores, queued])
        return sinkhorn(scores, self.params.epsilon, self.params.sinkhorn_iterations)[:batch_size]

    @torch.no_grad()
    def _enqueue(self, projections: tuple[Tensor, ...]) -> None:
        """Put a batch in front of the queue, after its loss; what is oldest falls out."""
        size = self.params.queue_size
        if size:
            newest = torch.stack([F.normalize(z.float(), dim=1) for z in projections])
            self.queue.copy_(torch.cat([newest, self.queue], dim=1)[:, :size])
            self.num_queued = min(size, self.num_queued + newest.shape[1])

    @torch.no_grad()
    def _normalize_prototypes(self) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
