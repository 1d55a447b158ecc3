"""MoCo v2 (arXiv:1911.05722, arXiv:2003.04297): a view finds its image's key among a queue of earlier keys."""

import torch
from torch import Tensor
from torch.nn import functional as F

from fkt.core.errors import ParamsError
from fkt.models.backbones import ResNet
from fkt.params.methods import MoCoParams
from fkt.ssl.base import Setting, SSLOutput
from fkt.ssl.heads import projector
from fkt.ssl.losses.contrastive import info_nce, queue_logits, same_class
from fkt.ssl.losses.similarity import embedding_health
from fkt.ssl.momentum import MomentumMethod
from fkt.views.loader import Views


class MoCo(MomentumMethod):
    """Query network, key network (the momentum target), and a queue of keys in which new keys replace the oldest.

    The first view is the query, the second its key. With ``symmetric`` each view is both: L is the mean of the two
    InfoNCE losses (the authors' CIFAR code sums them) against the queue before the step, and the keys of both views
    enter the queue. L is log(K + 1) if all vectors are equal.

    The queue has at most as many keys as there are training images outside a batch, because more would be repetitions.
    It starts with random unit vectors, as in the authors' code, and stores the image and the label of each key, -1 =
    unknown. Unlike in that code, an older key of the query's own image is not its negative. On ImageNet it hardly ever
    is in the queue; with few images it is there for about half of the queries. With ``false_negatives: eliminate`` keys
    of the query's class are not its negatives either.

    Each view is a separate batch for batch normalization. Shuffled batch normalization (ShuffleBN), which prevents a
    query from recognizing its key by the batch statistics, needs several devices.

    Raises ParamsError if a batch uses all training images.
    """

    num_views = 2
    queue: Tensor
    queue_ids: Tensor
    queue_labels: Tensor
    pointer: Tensor

    def __init__(self, backbone: ResNet, params: MoCoParams, setting: Setting) -> None:
        super().__init__(backbone, projector(backbone, params, batch_norm=False), params.tau)
        size = min(params.queue_size, setting.num_images - setting.batch_size)
        if size < 1:
            raise ParamsError(
                f"the queue of moco needs training images outside a batch, but batch_size: {setting.batch_size} uses "
                f"all {setting.num_images} of them; decrease batch_size"
            )
        self.temperature, self.symmetric = params.temperature, params.symmetric
        self.eliminates = params.false_negatives == "eliminate"
        self.online_passes = self.target_passes = 2 if params.symmetric else 1
        self.register_buffer("queue", F.normalize(torch.randn(size, params.projector_size), dim=1))  # (K, D)
        self.register_buffer("queue_ids", torch.full((size,), -1))  # (K,) positions in the train split
        self.register_buffer("queue_labels", torch.full((size,), -1))  # (K,)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))  # index of the oldest key
        self.sizes = {"queue_size": size}
        self._new_keys: list[tuple[Tensor, Tensor, Tensor]] = []  # keys, images and labels of this step

    def forward(self, views: Views) -> SSLOutput:
        """See Method.forward. The features are those of the queries: (B, D), or (2B, D) with ``symmetric``.

        Logs embedding_health of the queries; the mean ``positive_cosine`` of queries with their keys and
        ``negative_cosine`` with the queue: both near 1 is collapse; ``contrast_accuracy``, the share of queries whose
        key is nearest; ``eliminated``, the share of false negatives in the queue, if they are eliminated. The others
        are computed without the keys of the query's own image, and always with false negatives.
        """
        seen = views.images if self.symmetric else views.images[:1]
        features = [self.backbone(view) for view in seen]
        queries = torch.cat([self.projector(view) for view in features])
        # Queries come from views a, b, so keys must come from b, a.
        keys = torch.cat([self.target(view) for view in reversed(views.images[-len(seen) :])])
        ids, labels = views.ids.repeat(len(seen)), views.labels.repeat(len(seen))
        excluded = ids[:, None] == self.queue_ids  # (B, K)
        logs = self._health(queries.detach(), keys, excluded)
        if self.eliminates:
            false_negatives = same_class(labels, self.queue_labels)
            logs["eliminated"] = false_negatives.float().mean()
            excluded = excluded | false_negatives
        loss = info_nce(queries, keys, self.queue, self.temperature, excluded)
        # They enter the queue after the step: the backward pass still needs the old queue.
        self._new_keys.append((F.normalize(keys.float(), dim=1), ids, labels))
        return SSLOutput(loss, torch.cat(features), logs)

    def after_step(self, progress: float) -> None:
        """Move the key network, and put the new keys into the queue."""
        super().after_step(progress)
        for new in self._new_keys:
            self._enqueue(*new)
        self._new_keys = []

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, ids: Tensor, labels: Tensor) -> None:
        """Replace the oldest keys; keys: (n, D) unit rows, ids, labels: (n,). If n > K, only the last K are used."""
        keys, ids, labels = (new[-len(self.queue) :] for new in (keys, ids, labels))
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue.index_copy_(0, places, keys.to(self.queue.dtype))
        self.queue_ids.index_copy_(0, places, ids)
        self.queue_labels.index_copy_(0, places, labels)
        self.pointer.add_(len(keys)).remainder_(len(self.queue))  # on the device, so that no step waits for it

    @torch.no_grad()
    def _health(self, queries: Tensor, keys: Tensor, own: Tensor) -> dict[str, Tensor]:
        cosines = queue_logits(queries, keys, self.queue, 1.0)  # (B, 1 + K)
        positives, negatives = cosines[:, 0], cosines[:, 1:]
        return embedding_health(queries) | {
            "positive_cosine": positives.mean(),
            "negative_cosine": negatives.masked_fill(own, 0.0).sum() / (~own).sum().clamp_min(1),
            "contrast_accuracy": (positives > negatives.masked_fill(own, float("-inf")).amax(dim=1)).float().mean(),
        }
