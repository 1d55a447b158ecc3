"""The message for a wrong value of params.yaml, in one line: the key, the value, the remedy."""

import reprlib

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
    list: "a list",
    dict: "a section",
    int: "a whole number",
    float: "a fraction",
}
_WANTED = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_or_auto": "a number or auto",
    "int_or_auto": "a whole number or auto",
    "list_type": "a list: each item on its own line, after '- '",
    "model_type": "a section: its keys on the lines below, indented",
    "model_attributes_type": "a section: its keys on the lines below, indented",
    "string_type": "text, in quotes",
    "bool_type": "true or false",
}
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxlist, _SHOWN.maxdict = 2, 10, 4
_SHOWN.maxstring = _SHOWN.maxlong = _SHOWN.maxother = 100


def describe(detail: ErrorDetails, model: type[BaseModel] = Params, within: tuple[str, ...] = ()) -> str:
    """Return the line for one of pydantic's errors in a model, whose section in the file is ``within``."""
    location, kind, value = detail["loc"], detail["type"], detail["input"]
    context = detail.get("ctx", {})
    key = _dotted((*within, *location))
    if not key:  # a condition between sections: the message names the keys
        return str(context["error"])
    match kind:
        case "extra_forbidden" | "invalid_key":
            return f"{key}: unknown key{_instead(location, model)}"
        case "missing":
            misspelled = did_you_mean(str(location[-1]), _unknown_sections(location[:-1], value, model))
            return f"{key}: missing; add it (the file in git has every key){misspelled}"
        case "literal_error":
            return f"{key}: unknown value {_SHOWN.repr(value)}{_choices(str(context['expected']), value)}"
        case "finite_number":
            return f"{key}: {_SHOWN.repr(value)} is not finite; give a number"
        case "too_short" | "too_long":
            return f"{key}: {_SHOWN.repr(value)} is not a range; give two numbers, the smaller one first"
        case "value_error":
            shown = "" if isinstance(value, dict) else f"{_SHOWN.repr(value)}: "
            return f"{key}: {shown}{context['error']}"
        case _ if kind in _BOUNDS:
            return f"{key}: {_SHOWN.repr(value)} is out of range; give {_BOUNDS[kind]} {next(iter(context.values()))}"
        case _ if kind in _WANTED:
            found = (
                "empty" if value is None else f"{_SHOWN.repr(value)} is {_KINDS.get(type(value), type(value).__name__)}"
            )
            return f"{key}: {found}{_as_number(value, kind) or f'; give {_WANTED[kind]}'}"
    return f"{key}: {_SHOWN.repr(value)}: {detail['msg'].lower()}"


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for before, part in zip(("", *location), location, strict=False):
        if isinstance(before, int) and (part in BATCHED or part == "Foreign"):  # the tag of a union is not a key
            continue
        if part == "[key]":  # pydantic's name for a key that is not text
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _instead(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Return the remedy for an unknown key."""
    known = _known_keys(location[:-1], model)
    return did_you_mean(str(location[-1]), known) or f"; remove it, or choose from: {', '.join(known)}"


def _unknown_sections(location: tuple[int | str, ...], section: object, model: type[BaseModel]) -> list[str]:
    """Return the unknown sections in a section: one may be a misspelled name of a missing one."""
    found = section if isinstance(section, dict) else {}
    return [str(key) for key in found if isinstance(found[key], dict) and key not in _known_keys(location, model)]


def _known_keys(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Return the keys of the section at a location in a model."""
    for part in location:
        if isinstance(part, str) and part in BATCHED:
            model = BATCHED[part]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return [field.alias or name for name, field in model.model_fields.items()]


def _choices(expected: str, value: object) -> str:
    """Return the remedy for a value outside a fixed set, from pydantic's ``'a', 'b' or 'c'``."""
    names = [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(",")]
    return f"; choose from: {', '.join(names)}{did_you_mean(str(value), names)}"


def _as_number(value: object, kind: str) -> str:
    """Return how to write a value that was meant as a number, such as 1e-3, which YAML 1.1 reads as text; or ''."""
    if isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if not isinstance(value, str) or not kind.startswith(("float", "int")):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    shown = f"{int(number)}" if kind.startswith("int") and number.is_integer() else f"{number!r}"
    quoted = value.lstrip("+-").replace(".", "", 1).isdigit()
    return f"; write {shown} " + (
        "without quotes" if quoted else "(YAML reads a number without a decimal point as text)"
    )
