"""The section of each self-supervised method; the method itself is the file of the same name in fkt/ssl/."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fkt.params.base import Count, FalseNegatives, Frozen, Positive

Size = Annotated[int, Field(ge=2)]


class SimCLRParams(Frozen):
    """SimCLR (arXiv:2002.05709)."""

    projector_hidden: Count
    """Width of the projector's hidden layer."""
    projector_size: Size
    """Size of a projection."""
    temperature: Positive
    """Divides the cosine similarities in NT-Xent."""
    false_negatives: FalseNegatives
    """``eliminate`` takes other images of the anchor's class out of its denominator, where both labels are known."""
