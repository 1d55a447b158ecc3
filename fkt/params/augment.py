"""The vocabulary of the view pipelines: albumentations' names and arguments, checked without importing it.

The transforms defined here are those of the batched engine. The albumentations engine takes any transform of that
library; other names are checked by the library itself.
"""

import os
import warnings
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from fkt.core.errors import did_you_mean, unknown_name
from fkt.core.text import one_line
from fkt.params.base import Probability, Section

_Pair = Field(min_length=2, max_length=2)
Angles = Annotated[list[Annotated[float, Field(ge=-360, le=360)]], _Pair]
PositiveRange = Annotated[list[Annotated[float, Field(gt=0, le=100)]], _Pair]
Factor = Annotated[float, Field(ge=0, le=100)]
ShareRange = Annotated[list[Annotated[float, Field(gt=0, le=1)]], _Pair]
UnitRange = Annotated[list[Annotated[float, Field(ge=0, le=1)]], _Pair]


class Transform(Section):
    """One step of a pipeline, applied to each image with probability ``p``."""

    name: str
    p: Probability

    def arguments(self) -> dict[str, Any]:
        """Return all fields except the name, with tuples in place of lists, as albumentations takes them."""
        return {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in self.model_dump(exclude={"name"}).items()
        }

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for key in type(self).model_fields:  # the extra fields of Foreign are not checked
            value = getattr(self, key)
            if isinstance(value, list) and len(value) == 2 and value[0] > value[1]:
                raise ValueError(f"{key} is {value}; give the smaller number first")
        return self


class RandomResizedCrop(Transform):
    """A random part of the image, resized back to the image's size."""

    name: Literal["RandomResizedCrop"]
    scale: ShareRange
    """Fraction of the image's area."""
    ratio: PositiveRange
    """Width over height."""


class HorizontalFlip(Transform):
    """Mirror left and right."""

    name: Literal["HorizontalFlip"]


class VerticalFlip(Transform):
    """Mirror top and bottom."""

    name: Literal["VerticalFlip"]


class RandomRotate90(Transform):
    """Rotation by a random multiple of 90 degrees."""

    name: Literal["RandomRotate90"]


class Affine(Transform):
    """Rotation, zoom, shift and shear about the center; pixels from outside the image are black."""

    name: Literal["Affine"]
    rotate: Angles
    """Degrees, counter-clockwise."""
    scale: PositiveRange
    """1 keeps the size."""
    translate_percent: Annotated[list[Annotated[float, Field(ge=-1, le=1)]], _Pair]
    """Fraction of the side, drawn separately for x and y and truncated to whole pixels."""
    shear: Annotated[list[Annotated[float, Field(gt=-45, lt=45)]], _Pair]
    """Degrees, drawn separately for x and y."""


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue, each by a random factor or shift, in random order. Images of one
    channel have neither saturation nor hue."""

    name: Literal["ColorJitter"]
    brightness: Factor
    """0.4: a factor from 0.6 to 1.4. contrast and saturation mean the same."""
    contrast: Factor
    """Factor of the distance from the mean of the image."""
    saturation: Factor
    """Factor of the distance from gray."""
    hue: Annotated[float, Field(ge=0, le=0.5)]
    """0.1: a shift by up to a tenth of the color circle, in both directions."""


class ToGray(Transform):
    """Luma in every channel; no effect on images of one channel."""

    name: Literal["ToGray"]


class GaussianBlur(Transform):
    """Gaussian blur with a random standard deviation."""

    name: Literal["GaussianBlur"]
    sigma_limit: PositiveRange
    """Standard deviation in pixels."""


class Solarize(Transform):
    """Invert pixels that are at least as bright as the threshold."""

    name: Literal["Solarize"]
    threshold_range: UnitRange
    """In [0, 1]."""


BATCHED: dict[str, type[Transform]] = {
    "RandomResizedCrop": RandomResizedCrop,
    "HorizontalFlip": HorizontalFlip,
    "VerticalFlip": VerticalFlip,
    "RandomRotate90": RandomRotate90,
    "Affine": Affine,
    "ColorJitter": ColorJitter,
    "ToGray": ToGray,
    "GaussianBlur": GaussianBlur,
    "Solarize": Solarize,
}


class Foreign(Transform):
    """A transform of albumentations outside this vocabulary; the library checks its arguments."""

    model_config = ConfigDict(extra="allow")


def _tag(value: object) -> str:
    name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
    return name if isinstance(name, str) and name in BATCHED else "Foreign"


AnyTransform = Annotated[
    Annotated[RandomResizedCrop, Tag("RandomResizedCrop")]
    | Annotated[HorizontalFlip, Tag("HorizontalFlip")]
    | Annotated[VerticalFlip, Tag("VerticalFlip")]
    | Annotated[RandomRotate90, Tag("RandomRotate90")]
    | Annotated[Affine, Tag("Affine")]
    | Annotated[ColorJitter, Tag("ColorJitter")]
    | Annotated[ToGray, Tag("ToGray")]
    | Annotated[GaussianBlur, Tag("GaussianBlur")]
    | Annotated[Solarize, Tag("Solarize")]
    | Annotated[Foreign, Tag("Foreign")],
    Discriminator(_tag),
]


PIPELINES = ("views", "labelled")


class Augment(Section):
    """The view pipelines, the same in every arm."""

    engine: Literal["batched", "albumentations"]
    """batched: whole batches in torch, for small images and GPUs. albumentations: image by image, any transform."""
    views: list[AnyTransform]
    """Transforms of the SSL views."""
    labelled: list[AnyTransform]
    """Transforms of the images that cross-entropy sees; empty: the plain image."""

    object_share: Probability
    """Redraw SSL crops that contain less than this fraction of the object (prepare.masks), ten draws at most; then the
    crop with the largest fraction is kept. 0 = off."""
    good_crops: Probability
    """Fraction of the training images to which this applies (EffSSL's percentage of good crops), drawn anew for
    each seed."""

    @model_validator(mode="after")
    def _crops_can_be_judged(self) -> Self:
        crops = [step for step in self.views if isinstance(step, RandomResizedCrop)]
        if self.object_share and self.engine != "batched":
            raise ValueError(
                f"object_share: {self.object_share} works only with engine: batched, not engine: {self.engine}; set "
                "object_share: 0.0, or engine: batched"
            )
        if self.object_share and (len(crops) != 1 or self.views[0] is not crops[0]):
            raise ValueError(
                f"object_share: {self.object_share} needs views that start with their only RandomResizedCrop, because "
                "masks fit the stored images; make it the first step of views, or set object_share: 0.0"
            )
        return self

    @model_validator(mode="after")
    def _engine_has_them(self) -> Self:
        steps = [(f"{key}[{place}]", step) for key in PIPELINES for place, step in enumerate(getattr(self, key))]
        for where, step in steps:
            if not isinstance(step, Foreign):
                continue
            if self.engine == "batched":
                unknown = unknown_name("transform of engine: batched", step.name, BATCHED)
                raise ValueError(f"{where}: {unknown} (engine: albumentations has all transforms of that library)")
            try:
                build_foreign(step)
            except ValueError as error:
                raise ValueError(f"{where}: {one_line(str(error))}") from error
        return self


def build_foreign(step: Foreign) -> Any:  # noqa: ANN401 - albumentations is imported late and has no base we name
    """Build an albumentations transform that is not in this vocabulary.

    Raises ValueError if the library has no such transform, or refuses its arguments. Its warnings about arguments
    are errors here.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the network for updates
    import albumentations

    transform = getattr(albumentations, step.name, None)
    if not (isinstance(transform, type) and issubclass(transform, albumentations.BasicTransform)):
        known = [
            name
            for name, value in vars(albumentations).items()
            if isinstance(value, type) and issubclass(value, albumentations.BasicTransform)
        ]
        raise ValueError(f"albumentations has no transform '{step.name}'{did_you_mean(step.name, known)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return transform(**step.arguments())
    except Exception as error:  # whatever the library raises for a wrong argument
        raise ValueError(f"albumentations refuses {step.name}: {' '.join(str(error).split())}") from error
