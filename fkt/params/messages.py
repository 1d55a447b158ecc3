"""What is wrong with a value of params.yaml, in one line: the key, the value, the remedy."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from fkt.core.errors import did_you_mean
from fkt.params.augment import BATCHED
from fkt.params.params import Params

_BOUNDS = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
_KINDS = {
    bool: "true/false",
    str: "text",
    type(None): "empty",
    list: "a list",
    dict: "a section",
    int: "a whole number",
    float: "a fraction",
}


def describe(detail: ErrorDetails, model: type[BaseModel] = Params, within: tuple[str, ...] = ()) -> str:
    """Return the line for one of pydantic's findings about a model, whose section in the file is ``within``."""
    location, kind, value = detail["loc"], detail["type"], detail["input"]
    context = detail.get("ctx", {})
    key = _dotted((*within, *location)) or "the file"
    match kind:
        case "extra_forbidden" | "invalid_key" | "dict_type":  # the last one: of ssl, where unknown sections may stand
            return f"{key}: unknown key{_instead(location, model)}"
        case "missing":
            misspelled = did_you_mean(str(location[-1]), _unknown_sections(location[:-1], value, model))
            return f"{key}: missing; add it (the file in git has every key){misspelled}"
        case "literal_error":
            return f"{key}: unknown value {value!r}{_choices(str(context['expected']), value)}"
        case "float_type" | "int_type" | "int_from_float":
            wanted = "a whole number" if kind.startswith("int") else "a number"
            return (
                f"{key}: {_shown(value)}{_kind(value)}, not {wanted}{_number_hint(value, whole=kind.startswith('int'))}"
            )
        case "finite_number":
            return f"{key}: {value} is not finite; give a number"
        case _ if kind in _BOUNDS:
            return f"{key}: {value} is out of range; give {_BOUNDS[kind]} {next(iter(context.values()))}"
        case "value_error":
            shown = "" if isinstance(value, dict) else f"{value!r}: "
            return f"{key}: {shown}{context['error']}"
        case _:
            return f"{key}: {_shape(kind, value) or f'{value!r}: ' + detail['msg'].lower()}"


def _shape(kind: str, value: object) -> str:
    """The message for a value of the wrong shape; empty for a kind that is none of these."""
    match kind:
        case "list_type":
            return f"{value!r} is {_kind(value)}, not a list; write each item on a line of its own, after '- '"
        case "model_type" | "model_attributes_type":
            return f"{value!r} is {_kind(value)}, not a section; write its keys below it, indented"
        case "string_type":
            return f"{value!r} is {_kind(value)}, not text; put it in quotes"
        case "bool_type":
            return f"{value!r} is {_kind(value)}; give true or false"
        case "too_short" | "too_long":
            return f"{value!r} is no range; give two numbers, the smaller one first"
    return ""


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for before, part in zip(("", *location), location, strict=False):
        if isinstance(before, int) and (part in BATCHED or part == "Foreign"):  # the tag of a union, no key of the file
            continue
        if part == "[key]":  # pydantic's word for a key that is no text
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _instead(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """What to do about an unknown key."""
    known = _known_keys(location[:-1], model)
    return did_you_mean(str(location[-1]), known) or f"; remove it, or choose from: {', '.join(known)}"


def _unknown_sections(location: tuple[int | str, ...], section: object, model: type[BaseModel]) -> list[str]:
    """Sections in a section that are none of its own: one may be a missing one, misspelled."""
    found = section if isinstance(section, dict) else {}
    return [str(key) for key in found if isinstance(found[key], dict) and key not in _known_keys(location, model)]


def _known_keys(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """The keys that the section at a location in a model may have."""
    for part in location:
        if isinstance(part, str) and part in BATCHED:
            model = BATCHED[part]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return [field.alias or name for name, field in model.model_fields.items()]


def _choices(expected: str, value: object) -> str:
    """The remedy for a value outside a fixed set, from pydantic's ``'a', 'b' or 'c'``."""
    names = [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(",")]
    return f"; choose from: {', '.join(names)}{did_you_mean(str(value), names)}"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _number_hint(value: object, whole: bool) -> str:
    """YAML 1.1 takes 1e-3 for text: say how to write it."""
    if isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return "; give one"
        shown = f"{int(number)}" if whole and number.is_integer() else f"{number!r}"
        quoted = value.lstrip("+-").replace(".", "", 1).isdigit()
        reason = "without the quotes" if quoted else "for YAML reads it as text without a decimal point"
        return f"; write {shown}, {reason}"
    return "; give one"


def _shown(value: object) -> str:
    """The value before what it is; of an empty one there is nothing to show but that."""
    return "it is " if value is None else f"{value!r} is "
