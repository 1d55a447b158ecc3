"""The base of every params model: frozen, strict, and closed to unknown keys."""

from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

AUTO = "auto"
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
"""In (0, 1)."""
Probability = Annotated[float, Field(ge=0, le=1)]
"""In [0, 1]."""
Count = Annotated[int, Field(ge=1)]
Size = Annotated[int, Field(ge=2)]
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
