"""The public side of augmentation: a pipeline of params.yaml becomes a function of a uint8 batch and a key.

How the views are made is the engines' business: ``batched_engine`` (whole batches in torch) and
``albumentations_engine`` (image by image, any transform of that library).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, assert_never

from torch import Tensor

from fkt.data.meta import Meta
from fkt.params import Transform

Engine = Literal["batched", "albumentations"]


class Pipeline(Protocol):
    """From stored images to what a network sees; randomness is a pure function of the key."""

    def __call__(self, images: Tensor, *key: int | str, masks: Tensor | None = None) -> Tensor:
        """Return one view of each image.

        images: (B, C, H, W) uint8; masks: (B, H, W) uint8 beside them, where crops are judged by them. Returns
        (B, C, H, W) float32, normalized, channels-last, on the same device. The same key gives the same views of the
        same batch, whatever the process, history or device.
        """
        ...


def build_pipeline(steps: Sequence[Transform], engine: Engine, meta: Meta, *, object_share: float = 0.0) -> Pipeline:
    """Build the pipeline that executes ``steps``; no steps at all is plain normalization in either engine.

    object_share: above 0, crops are judged by masks, which every call must then be given; see params.Augment.
    Raises ParamsError where albumentations cannot run a step on images of this size and number of channels.
    """
    match engine:
        case "batched":
            from fkt.views.batched_engine import BatchedPipeline

            return BatchedPipeline(steps, meta, object_share)
        case "albumentations":
            from fkt.views.albumentations_engine import AlbumentationsPipeline

            return AlbumentationsPipeline(steps, meta)
        case _:
            assert_never(engine)
