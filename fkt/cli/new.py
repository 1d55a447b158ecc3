"""Look at a folder of your own images, choose the settings for them, and say how long the comparison takes."""

import argparse
import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from fkt.check import check_names
from fkt.cli import check
from fkt.core.errors import UserError
from fkt.core.files import one_line, write_text
from fkt.core.hardware import pick_device
from fkt.params import PARAMS_FILE, Prepare
from fkt.params.presets import BASE, PRESETS, apply_presets, available
from fkt.params.reader import parse_section, read_yaml

HELP = "look at a folder of your own images, and choose the settings for them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="has a folder for each class, or images for --csv")
    parser.add_argument("--name", help="name of the preset; by default that of the folder")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a table with the columns path (in FOLDER) and label")
    parser.add_argument(
        "--groups",
        help="which images belong together, such as those of a patient, and must not be in both training and test: "
        "parent-folder, a column of the table, or a regular expression for the paths, with one pair of parentheses",
    )
    parser.add_argument("--follow-links", action="store_true", help="follow the symbolic links in FOLDER")
    parser.add_argument("--force", action="store_true", help="replace a preset that this command has written before")
    check.add_estimate(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write and apply the preset. Raises UserError, and writes nothing, if the images cannot be compared on."""
    from fkt.propose.plan import planned
    from fkt.propose.preset import doubts, preset_text, seen

    path, before = _preset(arguments)
    plan = planned(_prepare(arguments), gpu=pick_device().type != "cpu")
    print(*seen(plan), sep="\n")
    if found := list(doubts(plan)):
        print("\nwhat could make the comparison weak or wrong:", *found, sep="\n- ")
    write_text(path, preset_text(path.stem, plan))
    try:
        apply_presets([path.stem], check_names)
    except UserError:
        path.unlink() if before is None else write_text(path, before)
        raise
    print(f"\n{path} has every choice with its reason; {PARAMS_FILE} has them now ('fkt preset {path.stem}').")
    check.check_and_estimate(arguments)
    print("\nnext: fkt repro")


def _preset(arguments: argparse.Namespace) -> tuple[Path, str | None]:
    """Return the file to write and its text, if it is there. Only files that this command wrote are replaced."""
    available()  # fails outside of the project's root
    if not arguments.folder.is_dir():
        raise UserError(f"{one_line(str(arguments.folder))} is not a folder; give the folder of your images")
    name = re.sub(r"[^a-z0-9_-]+", "-", (arguments.name or arguments.folder.resolve().name).lower()).strip("-_")
    if not name:
        raise UserError("the preset needs a name of ASCII letters or digits; give one with --name")
    path = PRESETS / f"{name}.yaml"
    if not path.exists():
        return path, None
    text = path.read_text(encoding="utf-8")
    is_own = "written by 'fkt new'" in text.split("\n", 1)[0]
    if not (arguments.force and is_own):
        raise UserError(f"{path} exists already; {'--force replaces it, ' * is_own}--name gives another name")
    return path, text


def _prepare(arguments: argparse.Namespace) -> Prepare:
    """Return the section prepare of the default with the source, its table, its groups, and its test images."""
    from fkt.raw.datasets import read_source

    base: Any = read_yaml(PRESETS / f"{BASE}.yaml")
    table = None if arguments.csv is None else _text(arguments.csv)
    rule = "parent_folder" if arguments.groups in ("parent-folder", "parent_folder") else None
    section = base["prepare"] | {"source": _text(arguments.folder), "table": table, "groups": rule}
    section["follow_links"] = arguments.follow_links
    raw = read_source("folder", parse_section(Prepare, section, "fkt new"))
    section["val_as_test"] = "val" in raw.parts and "test" not in raw.parts
    if arguments.groups is not None and rule is None:
        section["groups"] = _rule(arguments.groups, raw.columns)
    return parse_section(Prepare, section, "fkt new")


def _text(path: Path) -> str:
    """Return a path as in params.yaml: relative in the project, otherwise absolute."""
    full = Path(os.path.abspath(path))  # a link keeps its name
    text = (full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full).as_posix()
    if one_line(text) != text:
        raise UserError(f"{one_line(text)}: control characters or bytes that are not UTF-8; rename it")
    return text


def _rule(text: str, columns: Collection[str]) -> str:
    """Return prepare.groups for a value of --groups; columns: those of the table."""
    if text in columns:
        return f"column:{text}"
    with suppress(re.error):
        if re.compile(text).groups == 1:
            return f"pattern:{text}"
    others = ", ".join(name for name in columns if name not in ("path", "label", "split"))
    raise UserError(
        f"--groups {text}: give parent-folder, a column of the table{f' ({others})' if others else ''}, or a regular "
        "expression with one pair of parentheses, such as '(patient[0-9]+)'"
    )
