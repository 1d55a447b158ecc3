"""The one reader of params.yaml: strict YAML, strict types, and one clear line for each mistake."""

import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fkt.core.errors import ParamsError
from fkt.params.messages import describe
from fkt.params.params import Params

PARAMS_FILE = Path("params.yaml")
SHOWN = 20
"""Mistakes that a message lists."""
SectionType = TypeVar("SectionType", bound=BaseModel)

# PyYAML reads 010 as 8 and 1:30 as 90, DVC as 10 and as text. Numbers that they read differently are refused.
_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE)


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate keys, of which PyYAML keeps the last, and ambiguous numbers."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ParamsError(f"{self.name}: the key at line {line} is not a name; write a name")
            if key.value in seen:
                raise ParamsError(f"{self.name}: the key '{key.value}' appears twice, again at line {line}; keep one")
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401 - a value of the file
        try:
            return super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:  # PyYAML's errors for invalid dates
            kind, line = node.tag.rpartition(":")[2], node.start_mark.line + 1
            raise ParamsError(
                f"{self.name}: {node.value!r} at line {line} is not a valid {kind}; correct it, or put text in quotes"
            ) from error

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if not _PLAIN_NUMBER.fullmatch(node.value):
            line = node.start_mark.line + 1
            raise ParamsError(f"{self.name}: {node.value} at line {line} is not a plain decimal number; write one")
        is_float = node.tag == "tag:yaml.org,2002:float"
        return self.construct_yaml_float(node) if is_float else self.construct_yaml_int(node)


for _tag in ("int", "float"):
    _StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _StrictLoader.construct_number)


def read_yaml(path: Path) -> object:
    """Read a YAML file strictly: no duplicate keys, no ambiguous numbers.

    Raises ParamsError if it cannot be read, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} cannot be read: {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> object:
    """Read YAML text; see read_yaml."""
    try:
        loader = _StrictLoader(text)
        loader.name = source
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ParamsError(f"{source} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ParamsError(f"{source} is nested too deeply; restore it with 'git checkout {PARAMS_FILE}'") from error


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and check a params file.

    Raises ParamsError with one line for each mistake: the key, the value and the remedy.
    """
    if not path.is_file():
        raise ParamsError(
            f"{path} does not exist here; run from the project's root, or restore it with 'git checkout {path}'"
        )
    return parse_params(read_yaml(path), str(path))


def parse_params(content: object, source: str = str(PARAMS_FILE)) -> Params:
    """Check the content of a params file; see load_params."""
    if not isinstance(content, dict):
        raise ParamsError(f"{source} has no keys; restore it with 'git checkout {PARAMS_FILE}'")
    return parse_section(Params, content, source)


def parse_section(model: type[SectionType], content: object, source: str, within: tuple[str, ...] = ()) -> SectionType:
    """Check the content of one section of a params file, at the keys ``within``; see load_params."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = sorted(error.errors(), key=lambda detail: detail["type"] == "missing")  # a misspelled key comes first
        lines = [f"{source}: {describe(detail, model, within)}" for detail in details]
        more = [f"and {len(lines) - SHOWN} more mistakes"] if len(lines) > SHOWN else []
        raise ParamsError("\n       ".join([*lines[:SHOWN], *more])) from error
