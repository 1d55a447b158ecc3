"""One remembered embedding for each training image, and the losses that contrast with draws from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from fkt.ssl.losses.precision import at_least_float32


class MemoryBank(nn.Module):
    """(N, E) unit rows, each a moving average of one image's embeddings (arXiv:1805.01978; PIRL, arXiv:1912.01991).

    Rows start in random directions, from torch's global generator, as in VISSL's configuration of PIRL.
    """

    rows: Tensor

    def __init__(self, num_images: int, size: int, momentum: float) -> None:
        """momentum: in [0, 1), the share of the old row in a new one."""
        super().__init__()
        self.register_buffer("rows", F.normalize(torch.randn(num_images, size), dim=1))
        self.momentum = momentum

    def similarities(self, embeddings: Tensor, ids: Tensor) -> Tensor:
        """Return (B, M) cosines of (B, E) embeddings of any scale with the rows ids (B, M), in float32.

        Only the embeddings have a gradient. The rows are gathered rather than the cosines with all rows, whose
        gradient would be scattered: on a GPU its sums over rows that were drawn twice have no fixed order.
        """
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            directions = F.normalize(embeddings.float(), dim=1)
            return torch.einsum("be,bme->bm", directions, self.rows[ids])

    @torch.no_grad()
    def update(self, ids: Tensor, embeddings: Tensor) -> None:
        """Move the rows of the images ids (B,), all different, towards their embeddings (B, E); back to unit norm."""
        new = F.normalize(embeddings.detach().float(), dim=1)
        self.rows[ids] = F.normalize(self.momentum * self.rows[ids] + (1 - self.momentum) * new, dim=1)


def draw_negatives(ids: Tensor, count: int, num_images: int, generator: Generator) -> Tensor:
    """Return (B, count) int64 rows for the images ids (B,): uniform, with replacement, never the image's own.

    generator: on the CPU. num_images: at least 2.
    """
    drawn = torch.randint(num_images - 1, (len(ids), count), generator=generator).to(ids.device)
    return drawn + (drawn >= ids[:, None])  # closes up over the image's own row


def bank_info_nce(positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the positive among itself and its negatives: the mean of -log h (arXiv:1912.01991).

    positives: (B,) similarities; negatives: (B, K). Returns a float32 scalar, at least 0; log(1 + K) where all are
    equal.
    """
    return -_log_shares(positives, negatives, temperature)[:, 0].mean()


def nce(positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """PIRL's noise-contrastive loss (arXiv:1912.01991): the mean of -log h - sum over negatives log(1 - h').

    h is the share of exp(similarity / temperature) in its sum over the positive and the negatives; h' is the same
    for a negative. positives: (B,); negatives: (B, K). Returns a float32 scalar, at least 0;
    log(1 + K) + K * log(1 + 1 / K) where all are equal. Finite for any finite input: where one share is almost 1,
    1 minus it is summed from the others.
    """
    shares = _log_shares(positives, negatives, temperature)  # (B, 1 + K)
    top = shares.argmax(dim=1, keepdim=True)
    rest = shares.scatter(1, top, float("-inf")).logsumexp(dim=1, keepdim=True)
    without_top = -F.softplus(shares.gather(1, top) - rest)
    complements = torch.log1p(-shares.scatter(1, top, -1.0).exp()).scatter(1, top, without_top)  # log(1 - h')
    return -(shares[:, 0] + complements[:, 1:].sum(dim=1)).mean()


def _log_shares(positives: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    with torch.autocast(device_type=positives.device.type, enabled=False):
        similarities = at_least_float32(torch.cat([positives[:, None], negatives], dim=1))
        return F.log_softmax(similarities / temperature, dim=1)


BANK_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"nce": nce, "info_nce": bank_info_nce}
