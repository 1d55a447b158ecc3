"""params.yaml with a mistake in it, and what is said of it."""

from pathlib import Path

import pytest
import yaml

from fkt.core.errors import ParamsError
from fkt.params import parse_params
from fkt.params.reader import parse_yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "params.yaml").read_text(encoding="utf-8")
NOWHERE = object()


def edited(key: str, value: object) -> str:
    """The shipped file with one value replaced, added or (NOWHERE) removed."""
    content = yaml.safe_load(SHIPPED)
    *path, last = [int(part) if part.isdecimal() else part for part in key.split(".")]
    section = content
    for part in path:
        section = section[part]
    if value is NOWHERE:
        del section[last]
    else:
        section[last] = value
    return yaml.safe_dump(content, sort_keys=False)


def complaint(text: str) -> str:
    """What is said of a params.yaml that is refused."""
    with pytest.raises(ParamsError) as caught:
        parse_params(parse_yaml(text, "params.yaml"), "params.yaml")
    return str(caught.value)


def with_text(new: str, old: str = "lambda: 1.0") -> str:
    """The shipped file with a piece of its text replaced."""
    assert SHIPPED.count(old) == 1, old
    return SHIPPED.replace(old, new)
