"""SwAV (arXiv:2006.09882): the prototype of one view is predicted from the other view of the image."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.models.backbones import ResNet
from fkt.params.methods import SwAVParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.clustering import effective_prototypes, prototype_scores, sinkhorn, swapped_prediction
from fkt.views.loader import Views


class SwAV(Method):
    """Backbone, two-layer projector and prototypes; two views, without multi-crop.

    Prototypes are unit vectors; they are normalized at the start and after each optimizer step. The queue holds the
    newest projections of each view, which are scored with the prototypes of the current step. A queue that is not yet
    full is used as it is; the official code waits until it is full.
    """

    num_views = 2
    queue: Tensor

    def __init__(self, backbone: ResNet, params: SwAVParams, setting: Setting) -> None:
        super().__init__(backbone)
        self.projector = projector(backbone, params)
        self.prototypes = nn.Linear(params.projector_size, params.prototypes, bias=False)
        self.register_buffer("queue", torch.zeros(2, params.queue_size, params.projector_size))
        self.params = params
        self.progress, self.num_queued = 0.0, 0
        self._normalize_prototypes()

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. Both views form one batch, also for batch normalization.

        Logs ``relative_loss``, the loss divided by log K: it stays near 1 if the method learns nothing or
        collapses; and ``prototypes_used``, the effective number of prototypes, which is 1 after a collapse and at most
        min(K, 2B).
        """
        features = self.backbone(torch.cat(views.images))  # (2B, D)
        projections = self.projector(features).chunk(2)
        prototypes = self.prototypes.weight
        if self.progress < self.params.frozen_share:
            # No gradient instead of a zero gradient: optimizers then change neither the weights nor their own state.
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
        """Store the progress, and normalize the prototypes."""
        self.progress = torch.tensor(progress).item()  # rounded to float32, as it is saved: a resumed run is the same
        self._normalize_prototypes()

    # Progress and queue length are numbers and not buffers, because reading a buffer would wait for the device.

    def get_extra_state(self) -> Tensor:
        """Return progress and queue length, for state_dict."""
        return torch.tensor([self.progress, self.num_queued], dtype=torch.float32)

    def set_extra_state(self, state: Tensor) -> None:
        """Load progress and queue length."""
        self.progress, self.num_queued = float(state[0]), int(state[1])

    @torch.no_grad()
    def _codes(self, view: int, scores: Tensor) -> Tensor:
        """Return the codes (B, K) of a view's scores, balanced together with the queue if it is used already."""
        batch_size = len(scores)
        if self.progress >= self.params.queue_start:
            queued = prototype_scores(self.queue[view, : self.num_queued], self.prototypes.weight)
            scores = torch.cat([scores, queued])
        return sinkhorn(scores, self.params.epsilon, self.params.sinkhorn_iterations)[:batch_size]

    @torch.no_grad()
    def _enqueue(self, projections: tuple[Tensor, ...]) -> None:
        """Put a batch at the front of the queue; the oldest projections fall out."""
        size = self.params.queue_size
        if size:
            newest = torch.stack([F.normalize(z.float(), dim=1) for z in projections])
            self.queue.copy_(torch.cat([newest, self.queue], dim=1)[:, :size])
            self.num_queued = min(size, self.num_queued + newest.shape[1])

    @torch.no_grad()
    def _normalize_prototypes(self) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
