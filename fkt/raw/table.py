"""Tables of a source: a CSV file that lists images and labels, and classes.csv with the names of the classes."""

import csv
import io
import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from fkt.core.errors import CorruptData, DatasetNotFound, did_you_mean
from fkt.core.files import one_line
from fkt.data.meta import SplitName
from fkt.params import Prepare
from fkt.raw.notes import shortened
from fkt.raw.source import Raw
from fkt.raw.trees import CLASS_NAMES, PART_NAMES, Listed, files_below, from_files, ignored_note, is_image, text_of

Row = tuple[int, dict[str, str]]
"""Line number, from 1, and the cells by column."""
_PARTS: dict[str, SplitName] = {name: part for part, names in PART_NAMES.items() for name in names}


def read_table(source: Path, table: Path, params: Prepare) -> Raw:
    """Read the images that a table lists: the columns path (relative to the source), label and, optionally, split.

    A path may lack its suffix, or its folder, if exactly one image has that name. Classes are sorted by name, or by
    value if all labels are whole numbers. Raises DatasetNotFound for a missing source or table, CorruptData with the
    line and the value for each mistake in the table.
    """
    if not source.is_dir():
        raise DatasetNotFound(f"{source} is not a folder; put the images there, or set prepare.source to their folder")
    rows = read_rows(table, ("path", "label"))
    if not rows:
        raise CorruptData(f"{table} lists no images; add a line for each")
    ours = {path.name: path.resolve() for path in (table, source / CLASS_NAMES)}
    below, special = files_below(source, params.follow_links)
    others = [path for path in below if path.name not in ours or path.resolve() != ours[path.name]]
    names: dict[str, list[Path]] = defaultdict(list)
    for path in filter(is_image, others):
        for name in {path.name, path.stem, path.relative_to(source).with_suffix("").as_posix()}:
            names[name].append(path)
    listed: dict[Path, tuple[int, SplitName, dict[str, str]]] = {}
    problems = []
    for line, row in rows:
        found = _file(source, row["path"], names, params.follow_links)
        split = _PARTS.get(row.get("split", "train").lower())
        if isinstance(found, str):
            problem = found
        elif split is None:
            problem = f"unknown split '{row['split']}'; write train, val or test"
        elif not row["label"]:
            problem = "the label is empty"
        else:
            earlier, part, first = listed.setdefault(found, (line, split, row))
            pairs = (("label", row["label"], first["label"]), ("split", split, part))
            problem = "; ".join(f"its {key} is '{a}', but '{b}' in line {earlier}" for key, a, b in pairs if a != b)
        if problem:
            problems.append(f"line {line}: {row['path'] or 'no path'}: {problem}")
    if problems:
        title = f"{table}: {len(problems)} of {len(rows)} lines cannot be used"
        raise CorruptData("\n       ".join([title, *shortened(problems), "correct these lines"]))
    images = sorted(listed, key=lambda path: path.as_posix())  # the order of the lines does not matter
    cells = [listed[path][2] for path in images]
    classes = _sorted({row["label"] for row in cells})
    if len(classes) < 2:
        raise CorruptData(f"{table} has one label, '{classes[0]}'; at least two classes are needed")
    files: list[Listed] = [(listed[path][1], classes.index(listed[path][2]["label"]), source, path) for path in images]
    origin = f"from the column split of {table.name}" if "split" in rows[0][1] else f"from {table.name}"
    notes = ignored_note(source, sorted({*others, *special} - set(images)), f"not listed in {table.name}")
    raw = from_files(source, classes, files, {part: origin for part, *_ in files}, notes, params.max_pixels)
    return replace(raw, columns={name: [row[name] for row in cells] for name in rows[0][1]})


def with_class_names(raw: Raw, source: Path) -> Raw:
    """Return the same images with the names of <source>/classes.csv (columns class, name), if there is such a file.

    A class that is not listed keeps its name. Raises CorruptData for unknown or repeated classes and names.
    """
    table = source / CLASS_NAMES
    if not table.is_file():
        return raw
    names: dict[str, str] = {}
    for line, row in read_rows(table, ("class", "name")):
        where, label, name = f"{table}, line {line}", row["class"], row["name"]
        if label not in raw.classes:
            raise CorruptData(f"{where}: there is no class '{label}'{did_you_mean(label, raw.classes)}")
        if label in names:
            raise CorruptData(f"{where}: the class '{label}' is listed twice; keep one line")
        if not name:
            raise CorruptData(f"{where}: the name of class '{label}' is empty; write one")
        names[label] = name
    shown = [names.get(label, label) for label in raw.classes]
    if twice := sorted({name for name in shown if shown.count(name) > 1}):
        raise CorruptData(f"{table}: more than one class would be named '{twice[0]}'; give each its own name")
    return replace(raw, classes=shown)


def read_rows(table: Path, required: Collection[str]) -> list[Row]:
    """Read a table in UTF-8 with commas, semicolons or tabs between cells; spaces around cells are removed.

    Raises DatasetNotFound for a missing table, CorruptData for one that cannot be read or lacks a required column.
    """
    text = text_of(table)
    for delimiter in ",;\t":
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        try:
            header = [cell.strip() for cell in next(reader, [])]
            if set(required) <= set(header):
                lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
                break
        except csv.Error as error:
            raise CorruptData(f"{table}, line {reader.line_num}: {error}; correct the line") from error
    else:
        first = one_line(text.split("\n", 1)[0].strip()[:100])
        raise CorruptData(f"{table}: the first line must contain {' and '.join(required)}, but it is '{first}'")
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise CorruptData(f"{table} has two columns named '{twice[0]}'; rename one")
    for line, cells in lines:
        if len(cells) != len(header):
            raise CorruptData(
                f"{table}, line {line}: {len(cells)} cells, but {len(header)} columns; put a cell that contains the "
                "separator in quotes"
            )
    return [(line, dict(zip(header, cells, strict=True))) for line, cells in lines]


def _file(source: Path, text: str, names: dict[str, list[Path]], follow: bool) -> Path | str:
    """Return the image of a cell, or what is wrong with it."""
    path = Path(os.path.normpath(source / text))
    if not path.is_relative_to(os.path.normpath(source)):
        return f"the path is outside of {source}"
    path = source / path.relative_to(os.path.normpath(source))
    if path.is_file():
        inside = path.resolve().is_relative_to(source.resolve())
        return (
            path if inside or follow else "is a link out of the source; set prepare.follow_links: true to follow links"
        )
    known = names.get(text, [])
    if len(known) == 1:
        return known[0]
    if known:
        some = " and ".join(path.relative_to(source).as_posix() for path in known[:2])
        return f"{len(known)} images have this name, such as {some}; write the path"
    return f"there is no such file in {source}"


def _sorted(labels: Collection[str]) -> Sequence[str]:
    if all(label.isascii() and label.isdigit() for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)
