"""The reference pages: parameters.md from the models of params.yaml, commands.md from the parser of ``fkt``.

``python -m tests.derived`` writes both. The values are those of the default, presets/base.yaml.
"""

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import WrapValidator
from pydantic.fields import FieldInfo

from fkt.cli.main import build_parser
from fkt.core.arms import MODES
from fkt.params import Params
from fkt.params.augment import BATCHED, Transform
from fkt.params.base import Section
from fkt.params.presets import shown
from fkt.params.reader import read_yaml
from fkt.params.training import Training
from fkt.raw.datasets import DATASETS

DEFAULT = Path(__file__).resolve().parent.parent / "presets" / "base.yaml"
NAMES: dict[str, Iterable[str]] = {"dataset": DATASETS, "modes": MODES, "ssl.method": ()}
"""Keys whose names are in a table of the code, and not in the type. ssl.method has a section for each name."""
LONG_LIST = 4
"""A list with more values is not shown."""


def parameters() -> str:
    """Return the page of all keys of params.yaml: what each takes, its default, and what it means."""
    default = read_yaml(DEFAULT)
    kinds = {key: field.annotation for key, field in _fields(Params).items() if _is_section(field)}
    training = [key for key, kind in kinds.items() if issubclass(kind, Training)]
    plain = [key for key in _fields(Params) if key not in kinds]
    parts = [
        "# Parameters\n\nAll keys of `params.yaml`. The comments in the file are shorter and say the same. `fkt check` "
        "checks the file after an edit.\n\n*Empty* means that nothing follows the colon. A default is the value of the "
        "default experiment, the handwritten digits; a [preset](commands.md#fkt-preset) has others.\n",
        _part("The experiment", "", _rows(Params, "", default, plain)),
    ]
    for key, kind in kinds.items():
        if key == training[0]:
            rows = _rows(Training, "", {}, list(Training.model_fields))
            rows = [(name, takes, _each(name, training, default), meaning) for name, takes, _, meaning in rows]
            names = ", ".join(f"`{name}`" for name in training)
            about = f"The sections {names} have these keys, and their defaults are in this order."
            parts.append(_part("Training runs", about, rows))
        parts += _section(key, kind, default[key], set(Training.model_fields) if key in training else set())
        if key == "augment":
            parts.append(_part("Transforms", "The transforms of the engine `batched`. The engine `albumentations` "
                               "takes every transform of that library. Each has `name`, and `p`, its probability.",
                               [row for step in BATCHED.values() for row in _transform(step)]))  # fmt: skip
    return "\n".join(parts)


def commands() -> str:
    """Return the page of all commands of ``fkt``, with their arguments."""
    parser = build_parser()
    (sub,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    parts = ["# Commands\n\nRun them from the project's root. With `--help` each says the same.\n"]
    for name, command in sub.choices.items():
        actions = [action for action in command._actions if action.help and action.dest != "help"]
        rows = [(f"`{_form(action)}`", "", "", _text(action.help or "")) for action in actions]
        parts.append(_part(f"fkt {name}", _text(command.description or ""), rows))
    return "\n".join(parts)


def _section(name: str, kind: Any, values: dict[str, Any], without: set[str], level: int = 2) -> list[str]:
    """Return the parts of a section and of the sections in it."""
    fields = _fields(kind)
    inner = [key for key, field in fields.items() if _is_section(field)]
    rows = _rows(kind, f"{name}.", values, [key for key in fields if key not in inner and key not in without])
    parts = [_part(name, _text(inspect.getdoc(kind) or ""), rows, level)] if rows or inner else []
    for key in inner:
        parts += _section(f"{name}.{key}", fields[key].annotation, values[key], set(), level + 1)
    return parts


def _rows(kind: Any, prefix: str, values: dict[str, Any], keys: list[str]) -> list[tuple[str, ...]]:
    """Return name, what it takes, default and meaning of some keys of a section."""
    schema = kind.model_json_schema()
    said, fields = _meanings(kind), _fields(kind)
    rows = []
    for key in keys:
        name, field = f"{prefix}{key}", fields[key]
        takes = _takes(schema["properties"][key])
        if name in NAMES and NAMES[name]:
            takes = ("list of " if takes.startswith("list") else "") + _codes(NAMES[name])
        if any(isinstance(one, WrapValidator) for one in field.metadata):
            takes += ", or `auto`"
        rows.append((f"`{name}`", takes, _default(values.get(key, ...)), said.get(_python_name(kind, key), "")))
    return rows


def _transform(step: type[Transform]) -> list[tuple[str, ...]]:
    own = [key for key in step.model_fields if key not in Transform.model_fields]
    rows = _rows(step, f"{step.__name__}.", {}, own)
    return [(f"`{step.__name__}`", "", "", _text(inspect.getdoc(step) or "")), *rows]


def _meanings(kind: type[Section]) -> dict[str, str]:
    """Return the docstring below each field of a section, also of those that it inherits."""
    found = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("fkt.params"):
            body = ast.parse(inspect.getsource(sys.modules[base.__module__])).body
            classes = [node for node in body if isinstance(node, ast.ClassDef) and node.name == base.__name__]
            for field, text in (pair for node in classes for pair in pairwise(node.body)):
                if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                    found[ast.unparse(field.target)] = _text(ast.literal_eval(text.value))
    return found


def _takes(spec: dict[str, Any]) -> str:
    """Return a type of a JSON schema in words."""
    if "anyOf" in spec:
        kinds = [one for one in spec["anyOf"] if one.get("type") != "null"]
        return " or ".join(map(_takes, kinds)) + (", or empty" if len(kinds) < len(spec["anyOf"]) else "")
    if "const" in spec or "enum" in spec:
        return _codes([spec["const"]] if "const" in spec else spec["enum"])
    if spec.get("type") == "array":
        items = spec["items"]
        if "oneOf" in items:
            return "list of [transforms](#transforms)"
        if "$ref" in items:
            return "list of entries"
        if items.get("type") == "string":
            return "list of names"
        return f"{'two values' if spec.get('maxItems') == 2 else 'list'}, each a {_takes(items)}"
    if spec.get("type") in ("integer", "number"):
        return f"{'whole number' if spec['type'] == 'integer' else 'number'}{_bounds(spec)}"
    return {"boolean": "`true`, `false`", "string": "text"}.get(str(spec.get("type")), "keys and values")


def _bounds(spec: dict[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    found = [f" {word} {spec[key]:,}" for key, word in words.items() if key in spec]
    return "".join(found) + (f", a multiple of {spec['multipleOf']}" if "multipleOf" in spec else "")


def _default(value: object) -> str:
    if value is ...:
        return ""
    if value is None:
        return "*empty*"
    if isinstance(value, list) and len(value) > LONG_LIST:
        return f"{len(value)} values"
    return f"`{shown(value)}`"


def _each(name: str, sections: list[str], default: dict[str, Any]) -> str:
    """Return the default of a key in several sections: one value, or all in order."""
    values = [_default(default[section].get(name.strip("`"))) for section in sections]
    return values[0] if len(set(values)) == 1 else ", ".join(values)


def _fields(kind: type[Section]) -> dict[str, FieldInfo]:
    """Return the fields of a section by their keys in params.yaml."""
    return {field.alias or name: field for name, field in kind.model_fields.items()}


def _python_name(kind: type[Section], key: str) -> str:
    return next(name for name, field in kind.model_fields.items() if (field.alias or name) == key)


def _is_section(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, Section)


def _form(action: argparse.Action) -> str:
    """Return how an argument is written."""
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    value = " ".join(value) if isinstance(value, tuple) else value
    value = {"*": f"[{value} ...]", "+": f"{value} ...", "?": f"[{value}]"}.get(str(action.nargs), value)
    return f"{', '.join(action.option_strings)} {value}".strip()


def _part(title: str, about: str, rows: list[tuple[str, ...]], level: int = 2) -> str:
    lines = [
        f"- **{key}**" + (f" ({takes}{default and f'; default: {default}'})" if takes else "") + f": {meaning}\n"
        for key, takes, default, meaning in rows
    ]
    return "\n".join([f"{'#' * level} {title}\n", *([f"{about}\n"] if about else []), "".join(lines)])


def _codes(names: Iterable[object]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _text(docstring: str) -> str:
    """Return a docstring as one paragraph of Markdown."""
    parts = " ".join(docstring.split()).replace("``", "`").split("`")
    plain = re.compile(r"docs/(\w+\.md)")
    return "`".join(
        part if at % 2 else plain.sub(r"[\1](\1)", part.replace("<", "&lt;")) for at, part in enumerate(parts)
    )
