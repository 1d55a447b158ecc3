"""The base of every params model: frozen, strict, and closed to unknown keys."""

import os
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from fkt.core.text import one_line

AUTO = "auto"
MOST = 10**6
"""Upper bound of numbers that have no bound of their own. Beyond it are slips of the hand, and overflows."""
Positive = Annotated[float, Field(gt=0, le=MOST, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
"""In (0, 1)."""
Probability = Annotated[float, Field(ge=0, le=1)]
"""In [0, 1]."""
Natural = Annotated[int, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Size = Annotated[int, Field(ge=2, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
T = TypeVar("T")
FalseNegatives = Literal["keep", "eliminate"]
"""Whether images known to be of the anchor's class stay among its negatives."""


def _number_or_auto(value: object, number: ValidatorFunctionWrapHandler) -> object:
    if value == AUTO:
        return value
    try:
        return number(value)
    except ValidationError as error:
        kind = error.errors()[0]["type"]
        if kind in ("int_type", "int_from_float", "float_type"):
            raise PydanticCustomError(f"{kind.partition('_')[0]}_or_auto", "give a number or auto") from error
        raise


OrAuto = Annotated[T, WrapValidator(_number_or_auto), PlainSerializer(lambda value: value)]
"""A number, or ``auto``, which resolve (fkt/params/sizes.py) replaces before a method reads the number."""


def _path(name: str) -> str:
    if not name.strip():
        raise ValueError("is blank; write a path, or leave the key without a value")
    if one_line(name) != name or any(len(os.fsencode(part)) > 255 for part in name.split("/")) or len(name) > 4000:
        raise ValueError("is not a path: it has control characters, or a name in it is too long; correct it")
    return name


PathText = Annotated[str, AfterValidator(_path)]
"""A path, as text."""


class Section(BaseModel):
    """A section of params.yaml: immutable, no coercion of types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False, allow_inf_nan=False)


def distinct(values: list[T]) -> list[T]:
    """Return a list. Raises ValueError where it is empty, or names something twice."""
    if not values:
        raise ValueError("the list is empty; name at least one")
    return not_twice(values)


def not_twice(values: list[T]) -> list[T]:
    """Return a list. Raises ValueError where it names something twice."""
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} appears more than once; name each once")
    return values
