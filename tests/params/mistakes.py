"""params.yaml with a mistake in it, and what is said of it."""

import re
from pathlib import Path

import pytest
import yaml

from fkt.core.errors import ParamsError
from fkt.params import parse_params
from fkt.params.reader import parse_yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "params.yaml").read_text(encoding="utf-8")
LAMBDA = re.findall(r"^lambda: [0-9.]+", SHIPPED, re.MULTILINE)[0]
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


def with_text(new: str, old: str = LAMBDA) -> str:
    """The shipped file with a piece of its text replaced, by default lambda and its value."""
    assert SHIPPED.count(f"\n{old}") == 1, old
    return SHIPPED.replace(f"\n{old}", f"\n{new}")
