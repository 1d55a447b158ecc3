"""Presets: ``presets/NAME.yaml`` holds the values in which an experiment differs from the default, presets/base.yaml.

A preset never depends on what params.yaml was before: the result is always the default with the named presets over it.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fkt.core.errors import ParamsError, did_you_mean, unknown_name
from fkt.core.files import write_text
from fkt.params import PARAMS_FILE, Params, parse_params
from fkt.params.reader import parse_yaml, read_yaml

PRESETS = Path("presets")
AT_MOST = "at_most"
"""Section of a preset whose numbers are bounds: a value that is larger, or empty, becomes the bound."""
BASE = "base"
"""The default params.yaml with all of its comments; not a preset itself."""


def available() -> dict[str, str]:
    """Return every preset with its description, the comment in its first line.

    Raises ParamsError if no preset is found.
    """
    paths = sorted(path for path in PRESETS.glob("*.yaml") if path.stem != BASE)
    if not paths:
        raise ParamsError(f"there are no presets here ({PRESETS}/*.yaml); run from the project's root")
    return {path.stem: path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ") for path in paths}


def apply_presets(names: list[str], check: Callable[[Params], None]) -> list[str]:
    """Write the default with presets over it to params.yaml, and return one line for each key that changed.

    check: raises ParamsError if a name in the params is unknown. Raise ParamsError, and write nothing, if the result is
    not a valid experiment.
    """
    text = laid(names)
    before, after = dict(flat(read_yaml(PARAMS_FILE))), parse_yaml(text, str(PARAMS_FILE))
    check(parse_params(after, f"{PARAMS_FILE} with {', '.join(names)}"))
    write_text(PARAMS_FILE, text)
    changed = [(key, shown(before.get(key)), shown(value)) for key, value in flat(after) if before.get(key) != value]
    return [f"{key}: {was} -> {now if now != was else 'other values'}" for key, was, now in changed]


def laid(names: list[str]) -> str:
    """Return the text of the default params file with presets laid over it, in order; comments are kept."""
    from ruamel.yaml import YAML

    known = available()
    content = YAML().load((PRESETS / f"{BASE}.yaml").read_text(encoding="utf-8"))
    for at, name in enumerate(names):
        if name not in known:
            raise ParamsError(unknown_name("preset", name, known))
        path = PRESETS / f"{name}.yaml"
        values: Any = read_yaml(path) or {}
        if at and "dataset" in values:
            raise ParamsError(f"the preset '{name}' sets the dataset; give it first, and only one such preset")
        bounds = values.pop(AT_MOST, {})
        _lay(content, values, YAML().load(path.read_text(encoding="utf-8")), str(path))
        _lay(content, _bounded(content, bounds), bounds, str(path))
    stream = io.StringIO()
    YAML().dump(content, stream)
    return stream.getvalue()


def preset_values(name: str) -> dict[str, Any]:
    """Return the dotted keys and values of a preset over the default; empty for an unknown name."""
    base, path = (PRESETS / f"{one}.yaml" for one in (BASE, name))
    if not base.is_file() or not path.is_file():
        return {}
    return dict(flat(read_yaml(base))) | dict(flat(read_yaml(path) or {}))


def flat(content: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and the values of nested sections; a list is one value."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, content


def nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections that ``flat`` has flattened."""
    content: dict[str, Any] = {}
    for name, value in params.items():
        *path, key = name.split(".")
        section = content
        for part in path:
            section = section.setdefault(part, {})
        section[key] = value
    return content


def _lay(section: Any, values: dict[str, Any], commented: Any, source: str, prefix: str = "") -> None:  # noqa: ANN401
    """Set the values of a preset in a section of ruamel.yaml; ``commented``: the same values with their comments."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in section or isinstance(value, dict) != isinstance(section[key], dict):
            known = [f"{prefix}{other}" for other in section]
            raise ParamsError(f"{source}: params.yaml has no key '{name}'{did_you_mean(name, known)}")
        if isinstance(value, dict):
            _lay(section[key], value, commented[key], source, f"{name}.")
        elif section[key] != value:
            section[key] = value
            if isinstance(value, list) and key in commented.ca.items:  # the default's comment is about its own list
                section.ca.items[key] = commented.ca.items[key]


def _bounded(section: Any, bounds: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - of ruamel.yaml
    """Return the values of a section that the bounds of a preset give."""
    found: dict[str, Any] = {}
    for key, bound in bounds.items():
        value = section.get(key)
        if isinstance(bound, dict) and isinstance(value, dict):
            found[key] = _bounded(value, bound)
        else:
            found[key] = bound if not isinstance(value, int | float) else min(value, bound)
    return found


def shown(value: object) -> str:
    """Return a value as in params.yaml; sections in a list are shown by their first value, the name."""
    if isinstance(value, list):
        names = (str(next(iter(item.values()))) if isinstance(item, dict) else shown(item) for item in value)
        return f"[{', '.join(names)}]"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)
