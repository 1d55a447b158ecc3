"""The sections of the methods that tell images apart: by negatives of the batch or of a queue."""

from __future__ import annotations

from fkt.params.base import Count, FalseNegatives, Positive, Probability, Section, Size


class SimCLRParams(Section):
    """SimCLR (arXiv:2002.05709)."""

    projector_hidden: Count
    """Width of the projector's hidden layer."""
    projector_size: Size
    """Size of a projection."""
    temperature: Positive
    """Divides the cosine similarities in NT-Xent."""
    false_negatives: FalseNegatives
    """``eliminate`` takes other images of the anchor's class out of its denominator, where both labels are known."""


class MoCoParams(Section):
    """MoCo v2 (arXiv:2003.04297)."""

    projector_hidden: Count
    """Width of the projector's hidden layer."""
    projector_size: Size
    """Size of a projection."""
    temperature: Positive
    """Divides the cosine similarities in InfoNCE."""
    queue_size: Count
    """K, keys kept as negatives at most; fewer where the training images less one batch are fewer."""
    tau: Probability
    """What the key network keeps of itself in a step; the paper's m."""
    symmetric: bool
    """Whether each view is query and key in turn: twice the passes, and both views' keys in the queue."""
    false_negatives: FalseNegatives
    """``eliminate`` takes keys of the query's class out of its denominator, where both labels are known."""


class SupConParams(Section):
    """SupCon (arXiv:2004.11362)."""

    projector_hidden: Count
    """Width of the projector's hidden layer."""
    projector_size: Size
    """Size of a projection."""
    temperature: Positive
    """Divides the cosine similarities."""
