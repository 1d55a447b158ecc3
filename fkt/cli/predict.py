"""Classify images with a trained model: files, folders, quoted patterns, and CSV files with a column path.

If the first argument is the folder of a model, it is the model: of one seed (models/functional/s0), or of an arm
(models/functional), whose seeds predict together. Without a model, the arm that the report has chosen is used. Files
that cannot be read are named and skipped; the exit status is then 1.
"""

import argparse
import glob
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fkt.core.errors import CorruptData, UserError, plural
from fkt.core.files import one_line, write_text

if TYPE_CHECKING:
    from fkt.evaluation.trained import Predictions

HELP = "classify images with a trained model"
FORMATS = ("text", "csv", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.usage = "fkt predict [OPTION]... [MODEL] PATH..."
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="the model (optional), then images")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="the model, if it is not the first argument")
    parser.add_argument(
        "--format", choices=FORMATS, help="text: the two most probable classes; csv, json: all probabilities"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a .csv or .json file instead of text")
    parser.add_argument(
        "--maps", type=Path, metavar="FOLDER", help="write a picture of the activation map of each image"
    )
    parser.add_argument("--device", help="cpu, cuda or mps; by default a GPU if there is one")


def run(arguments: argparse.Namespace) -> None:
    """Print or write the predictions. Raise CorruptData at the end if a file could not be read."""
    form = output_format(arguments.format, arguments.output)
    from fkt.evaluation.trained import chosen, load_trained, model_folders

    folder, paths = arguments.model, list(arguments.paths)
    if folder is None and model_folders(paths[0]):
        folder = paths.pop(0)
    if not paths:
        raise UserError(f"{folder} is a model; give what it should classify after it: images or a folder of images")
    first = str(paths[0])
    if folder is None and not (paths[0].exists() or paths[0].suffix or glob.has_magic(first)):
        raise UserError(f"{one_line(first)} does not exist; give the folder of a model, or images")
    folder, why = chosen() if folder is None else (folder, "")
    model = load_trained(folder, arguments.device)
    if why:
        print(f"model: {model}; chosen {why}", file=sys.stderr)
    found = model.predict(paths, progress=True)
    text = as_text(found, form)
    if arguments.output:
        write_text(arguments.output, text)
        print(f"{plural(len(found), 'prediction')}: {arguments.output}")
    else:
        print(text, end="", flush=True)
    if arguments.maps:
        from fkt.evaluation.overlays import draw_overlays

        draw_overlays(model, found, arguments.maps)
    for line in found.skipped():
        print(line, file=sys.stderr)
    if found.unreadable:
        total = len(found) + len(found.unreadable)
        raise CorruptData(f"{len(found.unreadable)} of {plural(total, 'file')} could not be read; see above")


def output_format(form: str | None, output: Path | None) -> str:
    """Return the format that was asked for, or that the name of the file says. Raise UserError if neither is known."""
    if form is not None or output is None:
        return form or "text"
    if output.suffix.lower() not in (".csv", ".json"):
        raise UserError(f"--output: {output} is neither .csv nor .json; name such a file, or give --format")
    return output.suffix.lower().removeprefix(".")


def as_text(found: "Predictions", form: str) -> str:
    """Return the predictions in a format. In CSV, no name is a formula of a spreadsheet; JSON has the exact names."""
    if form == "text":
        return "".join(f"{line}\n" for line in found.lines())
    table = found.table()
    if form == "json":
        rows = [
            {"path": str(path), "predicted": name, "probabilities": dict(zip(found.classes, row, strict=True))}
            for path, name, row in zip(found.paths, found.predicted, found.probabilities.tolist(), strict=True)
        ]
        return json.dumps(rows, indent=1) + "\n"
    from fkt.report.predictions import csv_text, spreadsheet_text

    table["path"] = [spreadsheet_text(path, "./") for path in table["path"]]
    return csv_text(table)
