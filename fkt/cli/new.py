"""``fkt new FOLDER``: look at your own images, choose the settings for them, and say how long the comparison takes."""

import argparse
import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from fkt.check import check_names
from fkt.cli import check
from fkt.core.errors import CorruptData, UserError
from fkt.core.files import one_line, write_text
from fkt.core.hardware import pick_device
from fkt.params import PARAMS_FILE, Prepare
from fkt.params.presets import BASE, PRESETS, apply_presets, available
from fkt.params.reader import parse_section, read_yaml

WRITTEN = "written by 'fkt new'"
"""In the first line of the presets of this command. No other preset is ever replaced."""


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse names no public type
    """Add the command to the parser of ``fkt``."""
    parser = commands.add_parser(
        "new", help="look at a folder of your own images, and choose the settings for them", description=__doc__
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of class folders, or of images that a table lists")
    parser.add_argument("--name", type=_name, help="of the preset; by default the name of the folder")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="a table with the columns path (below FOLDER) and label"
    )
    parser.add_argument(
        "--groups",
        metavar="GROUPS",
        help="what must not be in both training and test images, such as a patient: parent-folder, a column of the "
        "table, or a regular expression with one group, which is searched in each path",
    )
    parser.add_argument("--force", action="store_true", help="replace a preset that this command has written before")
    check.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Write and apply the preset. Raises UserError, and writes nothing, if the images cannot be compared on."""
    # scipy and pillow take long to import, and the other commands do not need them
    from fkt.propose.choices import choices, planned
    from fkt.propose.preset import doubts, preset_text, seen

    path = _preset_path(arguments)
    plan = planned(_prepare(arguments), gpu=pick_device().type != "cpu")
    print(*seen(plan), sep="\n")
    if found := list(doubts(plan)):
        print("\nwhat could make the comparison weak or wrong:", *found, sep="\n- ")
    title = f"{len(plan.images.raw):,} images of {len(plan.images.counts)} classes at {plan.side} px; {WRITTEN}"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    write_text(path, preset_text(title, choices(plan)))
    try:
        apply_presets([path.stem], check_names)
    except UserError:
        if before is None:
            path.unlink()
        else:
            write_text(path, before)
        raise
    print(f"\n{path} has every choice with its reason; {PARAMS_FILE} has them now ('fkt preset {path.stem}').")
    check.run(arguments)
    print("\nnext: fkt repro")


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", text) or text == BASE:
        raise argparse.ArgumentTypeError(f"'{text}' is not a name of letters, digits, - and _")
    return text


def _preset_path(arguments: argparse.Namespace) -> Path:
    """Return the file to write. Raises UserError if there is no folder, or such a preset."""
    available()  # fails outside of the project's root
    if not arguments.folder.is_dir():
        raise UserError(f"{one_line(str(arguments.folder))} is not a folder; give the folder of your images")
    own = re.sub(r"[^a-z0-9_-]+", "-", arguments.folder.resolve().name.lower()).strip("-_")
    name = arguments.name or own
    if not name or name == BASE:
        raise UserError("the name of the folder does not give a name for the preset; give one with --name")
    path = PRESETS / f"{name}.yaml"
    if path.exists() and not (arguments.force and WRITTEN in path.read_text(encoding="utf-8").split("\n", 1)[0]):
        remedy = "--force replaces it, " if WRITTEN in path.read_text(encoding="utf-8").split("\n", 1)[0] else ""
        raise UserError(f"{path} exists already; {remedy}--name gives another name")
    return path


def _prepare(arguments: argparse.Namespace) -> Prepare:
    """Return the section prepare of the default with the source, its table, its groups, and its test images."""
    from fkt.raw.datasets import read_source

    base: Any = read_yaml(PRESETS / f"{BASE}.yaml")
    table = None if arguments.csv is None else _text(arguments.csv)
    section = base["prepare"] | {"source": _text(arguments.folder), "table": table}
    raw = read_source("folder", parse_section(Prepare, section, "fkt new"))
    section["val_as_test"] = "val" in raw.parts and "test" not in raw.parts
    section["groups"] = None if arguments.groups is None else _rule(arguments.groups, raw.columns)
    return parse_section(Prepare, section, "fkt new")


def _text(path: Path) -> str:
    """Return a path as in params.yaml: relative in the project, otherwise absolute."""
    full = Path(os.path.abspath(path))
    text = (full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full).as_posix()
    if one_line(text) != text:
        raise CorruptData(f"{one_line(text)}: control characters or bytes that are not UTF-8; rename it")
    return text


def _rule(text: str, columns: Collection[str]) -> str:
    """Return prepare.groups for the value of --groups; columns: those of the table."""
    if text in ("parent-folder", "parent_folder"):
        return "parent_folder"
    if text in columns:
        return f"column:{text}"
    with suppress(re.error):
        if re.compile(text).groups == 1:
            return f"pattern:{text}"
    others = ", ".join(name for name in columns if name not in ("path", "label", "split"))
    known = f" ({others})" if others else ""
    raise UserError(
        f"--groups {text}: give parent-folder, a column of the table{known}, or a regular expression with one pair of "
        "parentheses, such as '(patient[0-9]+)'"
    )
