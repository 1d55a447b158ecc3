"""A pipeline of params.yaml as a function of a uint8 batch and a key, executed by one of two engines."""

from collections.abc import Sequence
from typing import Literal

from fkt.data.meta import Meta
from fkt.params import Transform
from fkt.views.albumentations_engine import AlbumentationsPipeline
from fkt.views.batched_engine import BatchedPipeline
from fkt.views.object_crops import ObjectCrops

Pipeline = BatchedPipeline | AlbumentationsPipeline


def build_pipeline(
    steps: Sequence[Transform],
    engine: Literal["batched", "albumentations"],
    meta: Meta,
    crops: ObjectCrops | None = None,
) -> Pipeline:
    """Build the pipeline of the steps. Without steps it only normalizes.

    crops: the choice of crops by masks, for the batched engine; None = off. Raises ParamsError if albumentations cannot
    apply a step to images of this size and number of channels.
    """
    return BatchedPipeline(steps, meta, crops) if engine == "batched" else AlbumentationsPipeline(steps, meta)
