"""MoCo v2 (arXiv:1911.05722, arXiv:2003.04297): a view is to find its image's key among a queue of earlier keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.models.backbones import ResNet
from fkt.params.methods_contrastive import MoCoParams
from fkt.ssl.base import Method, Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.contrastive import info_nce_without_false_negatives, same_class
from fkt.ssl.losses.similarity import embedding_health, info_nce, queue_logits
from fkt.ssl.momentum import Target
from fkt.views.loader import Views


class MoCo(Method):
    """Query network with gradient, key network that follows it, and a queue of keys, oldest replaced first.

    The first view is the query and the second its key. With ``symmetric`` each is both in turn: L is the mean of the
    two InfoNCE losses (the authors' CIFAR code sums them), both against the queue as the step found it, and both
    views' keys enter it. Either way L is log(K + 1) where all vectors are equal.

    The queue never holds more keys than there are training images outside of a batch: more would be repeats. Even so
    an image's own key of the epoch before can be among its negatives, which a large dataset makes rare and a small
    one does not. The queue starts as random unit vectors, as the authors' does.

    The queue keeps each key's label beside it, -1 where that is unknown, as it is of the random vectors at the start.
    With ``false_negatives: eliminate`` the keys of a query's class, an older key of its image among them, are no
    negatives.

    Shuffled normalization (ShuffleBN) keeps queries from recognizing their key by the statistics of the batch that
    both were normalized in. It needs several devices; on the one device here there is none, and each view is
    normalized by its own batch. The authors' code for one device splits batches for it, at some cost in speed.

    Logs: see embedding_health (of the queries); ``positive_cosine`` of queries with their keys and ``negative_cosine``
    with the queue, means: both near 1 is collapse; ``contrast_accuracy``, the share of queries nearest to their key.
    Where false negatives are eliminated also ``eliminated``, the share of a query's negatives that are; the others are
    of the whole queue even then.

    Raises ParamsError where a batch is the whole training set: no image is left for the queue.
    """

    num_views = 2
    queue: Tensor
    queue_labels: Tensor
    pointer: Tensor

    def __init__(self, backbone: ResNet, params: MoCoParams, setting: Setting) -> None:
        super().__init__(backbone)
        size = min(params.queue_size, setting.num_images - setting.batch_size)
        if size < 1:
            raise ParamsError(
                f"batch_size: {setting.batch_size} takes all {setting.num_images} training images, which leaves none "
                "for the queue of moco; give less"
            )
        self.projector = projector(backbone.feature_size, params.projector_hidden, params.projector_size)
        self.key_network = Target(self._followed())
        self.temperature, self.tau, self.symmetric = params.temperature, params.tau, params.symmetric
        self.false_negatives = params.false_negatives
        self.target_passes = 2 if params.symmetric else 1
        self.register_buffer("queue", F.normalize(torch.randn(size, params.projector_size), dim=1))  # (K, D)
        self.register_buffer("queue_labels", torch.full((size,), -1))  # (K,)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))  # the oldest key
        self._entering: tuple[Tensor, Tensor] | None = None  # keys and labels of the step under way

    @property
    def online_passes(self) -> int:
        """See Method.online_passes; only queries have a gradient."""
        return 2 if self.symmetric else 1

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward; the features are those of the queries, (B, D), or (2B, D) where symmetric.

        The queue stays as it is until after_step: the backward pass still needs it.
        """
        seen = views.images if self.symmetric else views.images[:1]
        features = [self.backbone(view) for view in seen]
        queries = torch.cat([self.projector(view) for view in features])
        # Queries are those of views a, b; keys must be those of b, a.
        keys = torch.cat([self.key_network(view) for view in reversed(views.images[-len(seen) :])])
        labels = views.labels.repeat(len(seen))
        logs = self._health(queries.detach(), keys)
        if self.false_negatives == "keep":
            loss = info_nce(queries, keys, self.queue, self.temperature)
        else:
            loss = info_nce_without_false_negatives(
                queries, keys, self.queue, labels, self.queue_labels, self.temperature
            )
            logs["eliminated"] = same_class(labels, self.queue_labels).float().mean()
        self._entering = F.normalize(keys.float(), dim=1), labels
        return SSLOutput(loss, torch.cat(features), logs)

    def after_step(self, progress: float) -> None:
        """Let the key network follow the query network; put the step's keys in the place of the oldest."""
        self.key_network.follow(self._followed(), self.tau)
        if self._entering is not None:
            self._enqueue(*self._entering)
            self._entering = None

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, labels: Tensor) -> None:
        """keys: (n, D) of length 1, labels: (n,); where n > K the last K stay. The pointer never leaves the device."""
        keys, labels = keys[-len(self.queue) :], labels[-len(self.queue) :]
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue.index_copy_(0, places, keys.to(self.queue.dtype))
        self.queue_labels.index_copy_(0, places, labels)
        self.pointer.add_(len(keys)).remainder_(len(self.queue))

    @torch.no_grad()
    def _health(self, queries: Tensor, keys: Tensor) -> dict[str, Tensor]:
        cosines = queue_logits(queries, keys, self.queue, 1.0)  # (B, 1 + K)
        return embedding_health(queries) | {
            "positive_cosine": cosines[:, 0].mean(),
            "negative_cosine": cosines[:, 1:].mean(),
            "contrast_accuracy": (cosines[:, 0] > cosines[:, 1:].amax(dim=1)).float().mean(),
        }

    def _followed(self) -> nn.Sequential:
        """What the key network is a copy of. Never an attribute: its weights have names already."""
        return nn.Sequential(self.backbone, self.projector)
