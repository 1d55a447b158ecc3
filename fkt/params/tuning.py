"""The section ``tuning`` of params.yaml: the settings that ``fkt tune`` has chosen, and under which conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from fkt.core.arms import ARMS
from fkt.params.base import Count, Section, Seed, distinct

if TYPE_CHECKING:
    from fkt.params.params import Params

CONDITIONS = (
    "dataset", "labels.per_class", "labels.fraction", "budget.passes", "budget.unit", "bn",
    "joint.images", "model.backbone", "model.width", "ssl.method",
    "prepare.image_size", "prepare.limit_per_class",
)  # fmt: skip
"""Parameters under which settings are chosen. With others, the settings count as untuned."""
Scalar = bool | int | float | str | None
"""A value that can be tuned."""


def _arm(name: str) -> str:
    if name not in ARMS:
        raise PydanticCustomError("literal_error", "unknown arm", {"expected": ", ".join(ARMS)})
    return name


class Tuned(Section):
    """What ``fkt tune`` has chosen for one arm."""

    arm: Annotated[str, AfterValidator(_arm)]
    """The arm whose settings these are."""
    trials: Count
    """Number of settings that were tried, the first ones included."""
    seeds: Annotated[list[Seed], AfterValidator(distinct)]
    """Seeds of every trial; the comparison does not use them."""
    start: dict[str, Scalar]
    """Dotted keys and values before the tuning: those of trial 0."""
    settings: dict[str, Scalar]
    """Dotted keys and values that were chosen, for this arm or for an earlier one that shares the key."""
    conditions: dict[str, Scalar]
    """Keys and values under which they were chosen. With others, the settings count as untuned."""


def conditions_of(params: Params) -> dict[str, Scalar]:
    """Return the values of CONDITIONS."""
    content = params.model_dump(by_alias=True)
    return {key: value_at(content, key) for key in CONDITIONS}


def entry_of(params: Params, arm: str) -> Tuned | None:
    """Return what ``fkt tune`` has chosen for an arm; None if settings, conditions or seeds are not those any more."""
    content, conditions = params.model_dump(by_alias=True), conditions_of(params)
    for entry in params.tuning:
        if entry.arm == arm and entry.conditions == conditions and not set(params.seeds) & set(entry.seeds):
            return entry if all(value_at(content, key) == value for key, value in entry.settings.items()) else None
    return None


def tuned_trials(params: Params, arm: str) -> int | None:
    """Return from how many trials the present settings of an arm were chosen; None: they are not tuned."""
    entry = entry_of(params, arm)
    return None if entry is None else entry.trials


def value_at(content: Any, key: str) -> Any:  # noqa: ANN401 - a value of params.yaml
    """Return the value of a dotted key in nested sections; an empty tuple if the key does not exist."""
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return ()  # equal to no value of params.yaml
        content = content[part]
    return content
