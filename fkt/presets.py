"""Presets: the values of presets/NAME.yaml laid over params.yaml.

A value replaces a value and leaves the comment beside it; a list replaces the whole list, with the preset's comments.
The text of params.yaml is edited in place: nothing else in it moves, and ``git diff`` shows what the preset did.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from fkt.core.errors import ParamsError, did_you_mean, unknown_name
from fkt.core.files import write_text
from fkt.params import PARAMS_FILE, parse_params
from fkt.params.reader import parse_yaml, read_yaml

PRESETS = Path("presets")
Entry = tuple[yaml.Node, yaml.Node]
"""A key and its value, both with their positions in the text."""


def available(folder: Path = PRESETS) -> dict[str, str]:
    """Name and one-line description (the first line, a comment) of every preset."""
    return {
        path.stem: path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")
        for path in sorted(folder.glob("*.yaml"))
    }


def apply_presets(names: list[str], path: Path = PARAMS_FILE, folder: Path = PRESETS) -> list[str]:
    """Merge presets into a params file, and return one line for each key that changed.

    The file is written only if the result describes an experiment; else ParamsError says why it does not.
    """
    known = available(folder)
    for name in names:
        if name not in known:
            raise ParamsError(unknown_name("preset", name, known))
    before = read_yaml(path)
    text = path.read_text(encoding="utf-8")
    for name in names:
        text = merged(text, str(path), folder / f"{name}.yaml")
    after = parse_yaml(text, str(path))
    parse_params(after, f"{path} with {', '.join(names)}")
    write_text(path, text)
    return changes(before, after)


def merged(text: str, name: str, preset: Path) -> str:
    """Return the text of the params file ``name`` with the values of a preset in place of its own."""
    overlay = read_yaml(preset)
    if not isinstance(overlay, dict):
        raise ParamsError(f"{preset} holds no keys; see the other presets for how they look")
    wanted, present = dict(flat(overlay)), dict(flat(parse_yaml(text, name)))
    source = preset.read_text(encoding="utf-8")
    ours = dict(_entries(yaml.compose(text, yaml.SafeLoader)))
    edits = []
    for key, entry in _entries(yaml.compose(source, yaml.SafeLoader)):
        if key not in ours:
            raise ParamsError(f"{preset}: {name} has no key '{key}'{did_you_mean(key, ours)}")
        if present[key] != wanted[key]:
            edits.append(_edit(text, ours[key], source, entry))
    for start, end, new in sorted(edits, reverse=True):  # from the end, so that earlier positions stay true
        text = text[:start] + new + text[end:]
    found = dict(flat(parse_yaml(text, name)))
    if any(found.get(key) != value for key, value in wanted.items()):
        raise ParamsError(f"{name} is laid out so that {preset} does not fit in; write each key on a line of its own")
    return text


def changes(before: object, after: object) -> list[str]:
    """One line ``key: old -> new`` for each value that differs; transforms are shown by their names."""
    old = dict(flat(before))
    lines = []
    for key, value in flat(after):
        if old.get(key) != value:
            was, now = _shown(old.get(key)), _shown(value)
            lines.append(f"{key}: {was} -> {now if now != was else 'other values'}")
    return lines


def flat(content: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted keys and values of nested sections; a list is one value."""
    if not isinstance(content, dict):
        yield prefix, content
        return
    for key, value in content.items():
        yield from flat(value, f"{prefix}.{key}" if prefix else str(key))


def _entries(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """The same dotted keys, with the places of keys and values in the text."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{prefix}.{key.value}" if prefix else str(key.value)
        if isinstance(value, yaml.MappingNode):
            yield from _entries(value, dotted)
        else:
            yield dotted, (key, value)


def _edit(text: str, ours: Entry, source: str, theirs: Entry) -> tuple[int, int, str]:
    """Where in ``text`` an entry of a preset goes: start, end and the new text."""
    (our_key, our_value), (their_key, their_value) = ours, theirs
    if isinstance(our_value, yaml.ScalarNode) and isinstance(their_value, yaml.ScalarNode):
        start, end = our_value.start_mark.index, our_value.end_mark.index
        new = source[their_value.start_mark.index : their_value.end_mark.index] or "null"
        return start, end, new if end > start else f" {new}"
    lines = source[their_key.start_mark.index : _end_of_line(source, their_value)].split("\n")
    shift = our_key.start_mark.column - their_key.start_mark.column
    moved = [lines[0], *(" " * shift + line if shift >= 0 else line[-shift:] for line in lines[1:])]
    return our_key.start_mark.index, _end_of_line(text, our_value), "\n".join(moved)


def _end_of_line(text: str, node: yaml.Node) -> int:
    """The end of the last line that holds a value of the node (the node itself ends where the next one begins)."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end = text.find("\n", node.end_mark.index)
    return end if end >= 0 else len(text)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(str(item['name']) if isinstance(item, dict) else _shown(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
